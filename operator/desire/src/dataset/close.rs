//! What is no longer granted: first the rights go and the sessions, then the Secrets, then what is left.

use super::GrantRefusal;
use super::catalog::Catalog;
use super::names::Remark;
use super::plan::{DataPlan, Part, Statement, Step};
use super::view::{name, value};
use super::wanted::Wanted;
use crate::facts::SystemKey;
use std::collections::BTreeSet;

/// Plans the end of everything that is there and no longer wanted.
///
/// The first transaction waits for nobody: it takes no lock on a table or a view, so that no open transaction of a consumer delays it. What
/// has to wait for their locks comes after their sessions have ended.
pub(crate) fn close(catalog: &Catalog, wanted: &Wanted, plan: &mut DataPlan) -> Result<(), GrantRefusal> {
    let goes: BTreeSet<&str> = catalog
        .roles
        .iter()
        .filter(|role| !wanted.roles.contains_key(&role.name) && Remark::parse(&role.remark) != Some(Remark::Owner))
        .map(|role| role.name.as_str())
        .collect();
    let mut rights = lives(catalog, wanted)?;
    let mut sessions = BTreeSet::new();
    for (role, member) in &catalog.members {
        if goes.contains(role.as_str()) || goes.contains(member.as_str()) {
            rights.push(Statement::new(format!("REVOKE {} FROM {}", name(role)?, name(member)?)));
            sessions.insert(member.as_str());
        }
    }
    for right in catalog
        .rights
        .iter()
        .filter(|right| right.grantee.as_deref().is_some_and(|role| goes.contains(role)))
    {
        let sql = right
            .revoke()
            .ok_or_else(|| GrantRefusal::Unwritable(format!("{:?}", right.target)))?;
        rights.push(Statement::new(sql));
    }
    for role in catalog
        .roles
        .iter()
        .filter(|role| role.login && goes.contains(role.name.as_str()))
    {
        rights.push(Statement::new(format!("ALTER ROLE {} NOLOGIN", name(&role.name)?)));
        sessions.insert(role.name.as_str());
    }
    plan.run(Part::Dataset, "take the rights of what is no longer granted", rights);
    end_sessions(catalog, &sessions, plan)?;
    forget(catalog, wanted, &goes, plan);
    let left = leftovers(catalog, wanted, &goes)?;
    plan.run(Part::Dataset, "clear away what is no longer granted", left);
    Ok(())
}

fn lives(catalog: &Catalog, wanted: &Wanted) -> Result<Vec<Statement>, GrantRefusal> {
    let ended = catalog
        .kept
        .lives
        .iter()
        .filter(|life| !life.revoked && !wanted.grants.iter().any(|grant| grant.names.id == life.id));
    ended
        .map(|life| {
            let sql = format!(
                "UPDATE maru.grant_life SET revoked = true WHERE grant_id = {}",
                value(&life.id)?
            );
            Ok(Statement::new(sql))
        })
        .collect()
}

fn end_sessions(catalog: &Catalog, users: &BTreeSet<&str>, plan: &mut DataPlan) -> Result<(), GrantRefusal> {
    let mut statements = Vec::new();
    for user in users {
        // Only those of Maru's own users, and only in this database.
        if let Some(found) = catalog.role(user) {
            if !found.mine {
                statements.push(Statement::new(format!("GRANT {} TO CURRENT_USER", name(user)?)));
            }
            statements.push(Statement::new(format!(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                 WHERE datname = pg_catalog.current_database() AND usename = {}",
                value(user)?
            )));
        }
    }
    plan.run(Part::Dataset, "end the sessions of those who lost rights", statements);
    Ok(())
}

fn forget(catalog: &Catalog, wanted: &Wanted, goes: &BTreeSet<&str>, plan: &mut DataPlan) {
    let of_role = |remark: &Remark| match remark {
        Remark::User(system, _) => Some(system.clone()),
        _ => None,
    };
    let stay: BTreeSet<SystemKey> = wanted.roles.values().filter_map(|role| of_role(&role.remark)).collect();
    let gone = catalog.roles.iter().filter(|role| goes.contains(role.name.as_str()));
    let systems: BTreeSet<SystemKey> = gone.filter_map(|role| of_role(&Remark::parse(&role.remark)?)).collect();
    plan.steps.extend(
        systems
            .into_iter()
            .filter(|system| !stay.contains(system))
            .map(Step::Forget),
    );
}

/// Views, schemas and roles. A role's things are handed to the database's owner and never dropped with it.
fn leftovers(catalog: &Catalog, wanted: &Wanted, goes: &BTreeSet<&str>) -> Result<Vec<Statement>, GrantRefusal> {
    let mut out = Vec::new();
    let stays = |schema: &str| wanted.grants.iter().any(|grant| grant.names.schema == schema);
    for (schema, _) in catalog
        .schemas
        .iter()
        .filter(|(schema, _)| schema.starts_with("maru_grant_") && !stays(schema))
    {
        for view in catalog
            .relations
            .iter()
            .filter(|found| found.schema == *schema && found.kind == 'v')
        {
            out.push(Statement::new(format!(
                "DROP VIEW {}.{}",
                name(schema)?,
                name(&view.name)?
            )));
        }
        out.push(Statement::new(format!("DROP SCHEMA {}", name(schema)?)));
        out.push(Statement::new(format!(
            "DELETE FROM maru.grant_view WHERE schema_name = {}",
            value(schema)?
        )));
    }
    for role in goes {
        let quoted = name(role)?;
        // Also where one seems to be a member: that may be by a membership that goes here, too.
        out.push(Statement::new(format!("GRANT {quoted} TO CURRENT_USER")));
        out.push(Statement::new(format!(
            "REASSIGN OWNED BY {quoted} TO {}",
            name(&catalog.owner.name)?
        )));
        out.push(Statement::new(format!("DROP OWNED BY {quoted}")));
        out.push(Statement::new(format!("DROP ROLE {quoted}")));
    }
    Ok(out)
}
