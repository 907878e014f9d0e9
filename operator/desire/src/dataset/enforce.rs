//! What is wanted compared with what is there: the difference is the plan, and no difference is the proof.

use super::GrantRefusal;
use super::catalog::Catalog;
use super::close::close;
use super::declare::declared;
use super::facts::DatasetFacts;
use super::login::Logins;
use super::names::Remark;
use super::plan::{DataPlan, Part, Statement};
use super::right::Right;
use super::view::{name, value};
use super::wanted::{Wanted, WantedGrant, WantedRole, wanted};
use crate::plan::Problem;
use crate::reason::Reason;
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The rights that are there, and whether they may be handed on.
type Found = BTreeMap<Right, bool>;

/// Plans what is missing in a dataset's database. `logins` are what the systems have credentials for.
pub fn plan_database(facts: &DatasetFacts<'_>, catalog: &Catalog, logins: &Logins) -> DataPlan {
    let wanted = wanted(facts, catalog, logins);
    let declared = declared(facts, catalog);
    let mut plan = DataPlan {
        problems: wanted.problems.clone(),
        differences: declared.differences,
        ..DataPlan::default()
    };
    plan.problems
        .extend(declared.problems.into_iter().map(|problem| (Part::Dataset, problem)));
    let found: Found = catalog
        .rights
        .iter()
        .map(|right| (plain(right), right.grantable))
        .collect();
    let outcome = stand(facts, catalog, &mut plan)
        .and_then(|()| close(catalog, &wanted, &mut plan))
        .and_then(|()| strangers(facts, catalog, &wanted, &found, &mut plan));
    note(&mut plan, &Part::Dataset, outcome);
    if !declared.make.is_empty() {
        let mut statements = vec![Statement::new(format!(
            "SET LOCAL ROLE {}",
            quoted(&catalog.owner.name)
        ))];
        statements.extend(declared.make.into_iter().map(Statement::new));
        statements.push(Statement::new("RESET ROLE"));
        plan.run(Part::Dataset, "make what is declared and not there", statements);
    }
    let outcome = dataset_roles(catalog, &wanted, &found, &mut plan);
    note(&mut plan, &Part::Dataset, outcome);
    for grant in &wanted.grants {
        let outcome = grant_statements(catalog, &wanted, grant, &found);
        let outcome = outcome.map(|statements| plan.run(grant.part.clone(), "put the grant in force", statements));
        note(&mut plan, &grant.part, outcome);
    }
    plan
}

fn note(plan: &mut DataPlan, part: &Part, outcome: Result<(), GrantRefusal>) {
    if let Err(refusal) = outcome {
        let reason = if *part == Part::Dataset {
            Reason::NameRefused
        } else {
            Reason::GrantRefused
        };
        plan.problems
            .push((part.clone(), Problem::new(reason, refusal.to_string())));
    }
}

fn quoted(role: &str) -> String {
    super::quote::identifier(role).unwrap_or_default()
}

pub(crate) fn plain(right: &Right) -> Right {
    Right {
        grantable: false,
        ..right.clone()
    }
}

pub(crate) fn member_note(role: &str, member: &str) -> String {
    format!("member {role:?} {member:?}")
}

/// What the administrator's role and Maru's own tables need.
fn stand(facts: &DatasetFacts<'_>, catalog: &Catalog, plan: &mut DataPlan) -> Result<(), GrantRefusal> {
    if catalog.owner.superuser && !facts.is_adopted() {
        let message = format!(
            "the database {:?} belongs to the superuser {}, for whom Maru does not act: ALTER DATABASE … OWNER TO another role",
            catalog.database, catalog.owner.name
        );
        plan.problems
            .push((Part::Dataset, Problem::new(Reason::OwnerOutOfReach, message)));
    }
    let mut statements = Vec::new();
    let owners: BTreeSet<&str> = std::iter::once(&catalog.owner)
        .chain(&catalog.owners)
        .filter(|owner| !owner.ours && !owner.superuser)
        .map(|owner| owner.name.as_str())
        .collect();
    for owner in owners {
        statements.push(Statement::new(format!("GRANT {} TO CURRENT_USER", name(owner)?)));
    }
    plan.run(
        Part::Dataset,
        "act for the owners of what is there",
        std::mem::take(&mut statements),
    );
    if !catalog.metered {
        statements.push(Statement::new("CREATE SCHEMA IF NOT EXISTS maru"));
        statements.push(Statement::new(
            "CREATE TABLE IF NOT EXISTS maru.usage_reading (moment timestamptz PRIMARY KEY, reading text NOT NULL)",
        ));
    }
    if catalog.prepared {
        plan.run(Part::Dataset, "make Maru's own tables", statements);
        return Ok(());
    }
    for sql in [
        "CREATE SCHEMA IF NOT EXISTS maru",
        "CREATE TABLE IF NOT EXISTS maru.grant_life (grant_id text PRIMARY KEY, not_before timestamptz NOT NULL, \
         not_after timestamptz NOT NULL, revoked boolean NOT NULL DEFAULT false)",
        "CREATE TABLE IF NOT EXISTS maru.grant_view (schema_name text, view_name text, asked text NOT NULL, made text NOT NULL, \
         PRIMARY KEY (schema_name, view_name))",
        "CREATE TABLE IF NOT EXISTS maru.kept_right (what text PRIMARY KEY)",
    ] {
        statements.push(Statement::new(sql));
    }
    if facts.is_adopted() {
        let rights = catalog.rights.iter().map(Right::note);
        let members = catalog.members.iter().map(|(role, member)| member_note(role, member));
        for what in rights.chain(members) {
            let insert = format!(
                "INSERT INTO maru.kept_right VALUES ({}) ON CONFLICT DO NOTHING",
                value(&what)?
            );
            statements.push(Statement::new(insert));
        }
    }
    plan.run(Part::Dataset, "make Maru's own tables", statements);
    Ok(())
}

/// Takes away what nobody asked for.
fn strangers(
    facts: &DatasetFacts<'_>,
    catalog: &Catalog,
    wanted: &Wanted,
    found: &Found,
    plan: &mut DataPlan,
) -> Result<(), GrantRefusal> {
    let adopting = facts.is_adopted() && !catalog.prepared;
    let asked: BTreeSet<&Right> = wanted
        .rights
        .iter()
        .chain(wanted.grants.iter().flat_map(|grant| &grant.rights))
        .collect();
    let goes = |role: &str| catalog.role(role).is_some() && !wanted.roles.contains_key(role);
    // The rights that everybody has by default in a new database are nobody's doing.
    let undo = |sql: String| {
        if catalog.prepared {
            Statement::undo(sql)
        } else {
            Statement::new(sql)
        }
    };
    let mut by_part: BTreeMap<Part, Vec<Statement>> = BTreeMap::new();
    for (right, grantable) in found {
        let unwritable = || GrantRefusal::Unwritable(format!("{:?}", right.target));
        let part = part_of(wanted, right.grantee.as_deref(), right);
        if asked.contains(right) {
            if *grantable {
                let sql = right
                    .revoke()
                    .ok_or_else(unwritable)?
                    .replacen("REVOKE ", "REVOKE GRANT OPTION FOR ", 1);
                by_part.entry(part).or_default().push(undo(sql));
            }
        } else if !adopting
            && !catalog.kept.rights.contains(&right.note())
            && !right.grantee.as_deref().is_some_and(goes)
        {
            by_part
                .entry(part)
                .or_default()
                .push(undo(right.revoke().ok_or_else(unwritable)?));
        }
    }
    for (role, member) in &catalog.members {
        let known = wanted.members.contains_key(&(role.clone(), member.clone()))
            || catalog.kept.rights.contains(&member_note(role, member))
            || adopting
            || goes(role)
            || goes(member);
        if !known {
            let sql = format!("REVOKE {} FROM {}", name(role)?, name(member)?);
            let part = wanted.roles.get(role).map_or(Part::Dataset, |role| role.part.clone());
            by_part.entry(part).or_default().push(undo(sql));
        }
    }
    for (part, statements) in by_part {
        plan.run(part, "take away what nobody asked for", statements);
    }
    Ok(())
}

/// The grant that a right has to do with, if one.
fn part_of(wanted: &Wanted, grantee: Option<&str>, right: &Right) -> Part {
    let by_role = grantee
        .and_then(|role| wanted.roles.get(role))
        .map(|role| role.part.clone());
    by_role.filter(|part| *part != Part::Dataset).unwrap_or_else(|| {
        let of_grant = wanted
            .grants
            .iter()
            .find(|grant| right.target.schema() == Some(grant.names.schema.as_str()));
        of_grant.map_or(Part::Dataset, |grant| grant.part.clone())
    })
}

fn dataset_roles(catalog: &Catalog, wanted: &Wanted, found: &Found, plan: &mut DataPlan) -> Result<(), GrantRefusal> {
    let mut statements = roles_of(catalog, wanted, &Part::Dataset)?;
    statements.extend(missing(found, wanted.rights.iter())?);
    statements.extend(members_of(catalog, wanted, &Part::Dataset)?);
    plan.run(Part::Dataset, "users, roles and rights of the dataset", statements);
    Ok(())
}

fn missing<'a>(found: &Found, rights: impl Iterator<Item = &'a Right>) -> Result<Vec<Statement>, GrantRefusal> {
    rights
        .filter(|right| !found.contains_key(right))
        .map(|right| {
            let sql = right
                .grant()
                .ok_or_else(|| GrantRefusal::Unwritable(format!("{:?}", right.target)))?;
            Ok(Statement::new(sql))
        })
        .collect()
}

fn members_of(catalog: &Catalog, wanted: &Wanted, part: &Part) -> Result<Vec<Statement>, GrantRefusal> {
    let members = wanted
        .members
        .iter()
        .filter(|(pair, of)| *of == part && !catalog.members.contains(*pair));
    members
        .map(|((role, member), _)| Ok(Statement::new(format!("GRANT {} TO {}", name(role)?, name(member)?))))
        .collect()
}

fn roles_of(catalog: &Catalog, wanted: &Wanted, part: &Part) -> Result<Vec<Statement>, GrantRefusal> {
    let mut out = Vec::new();
    for (role, asked) in wanted.roles.iter().filter(|(_, role)| role.part == *part) {
        role_statements(catalog, role, asked, &mut out)?;
    }
    Ok(out)
}

fn role_statements(
    catalog: &Catalog,
    role: &str,
    asked: &WantedRole,
    out: &mut Vec<Statement>,
) -> Result<(), GrantRefusal> {
    let quoted = name(role)?;
    // What the owner of a database may do in its schema public is a right of pg_database_owner, which it inherits.
    let inherits = asked.login.is_some() || asked.remark == Remark::Owner;
    let inherit = if inherits { "INHERIT" } else { "NOINHERIT" };
    let attributes = match asked.login {
        Some(connections) => format!("LOGIN {inherit} CONNECTION LIMIT {connections}"),
        None => format!("NOLOGIN {inherit} CONNECTION LIMIT -1"),
    };
    let never = "NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION";
    let remark = asked.remark.to_string();
    let found = catalog.role(role);
    match found {
        None => out.push(Statement::new(format!("CREATE ROLE {quoted} {attributes} {never}"))),
        Some(found) if found.mighty => out.push(Statement::undo(format!("ALTER ROLE {quoted} {attributes} {never}"))),
        Some(found) => {
            let connections = asked.login.unwrap_or(-1);
            if found.makes {
                out.push(Statement::undo(format!("ALTER ROLE {quoted} NOCREATEDB NOCREATEROLE")));
            }
            if found.login != asked.login.is_some() || found.inherits != inherits || found.connections != connections {
                out.push(Statement::undo(format!("ALTER ROLE {quoted} {attributes}")));
            }
        }
    }
    if found.is_none_or(|found| found.remark != remark) {
        if let Remark::User(..) = &asked.remark {
            out.push(Statement {
                password_of: Some(role.to_owned()),
                ..Statement::new(format!("ALTER ROLE {quoted} PASSWORD "))
            });
        }
        let comment = asked.remark.comment(&catalog.database).unwrap_or_default();
        out.push(Statement::new(format!(
            "COMMENT ON ROLE {quoted} IS {}",
            value(&comment)?
        )));
    }
    // Of the others Maru becomes a member when it takes them away: with every role that one is a member of, PostgreSQL takes longer for each GRANT.
    let acts_as = matches!(asked.remark, Remark::Owner | Remark::GrantOwner);
    if acts_as && found.is_none_or(|found| !found.mine) {
        out.push(Statement::new(format!("GRANT {quoted} TO CURRENT_USER")));
    }
    Ok(())
}

fn grant_statements(
    catalog: &Catalog,
    wanted: &Wanted,
    grant: &WantedGrant,
    found: &Found,
) -> Result<Vec<Statement>, GrantRefusal> {
    let (schema, owner) = (name(&grant.names.schema)?, name(&grant.names.owner)?);
    let mut out = roles_of(catalog, wanted, &grant.part)?;
    match catalog.schemas.iter().find(|(found, _)| *found == grant.names.schema) {
        None => out.push(Statement::new(format!("CREATE SCHEMA {schema} AUTHORIZATION {owner}"))),
        Some((_, is)) if *is != grant.names.owner => {
            out.push(Statement::undo(format!("ALTER SCHEMA {schema} OWNER TO {owner}")));
        }
        Some(_) => {}
    }
    out.extend(life(catalog, grant)?);
    let (of_views, others): (Vec<&Right>, Vec<&Right>) =
        grant.rights.iter().partition(|right| grant.view_of(right).is_some());
    out.extend(missing(found, others.into_iter())?);
    let mut remade = BTreeSet::new();
    for (view, body) in &grant.views {
        if let Some(statements) = view_statements(catalog, grant, view, body)? {
            remade.insert(view.as_str());
            out.extend(statements);
        }
    }
    let gone = |right: &&Right| grant.view_of(right).is_some_and(|view| remade.contains(view));
    let (again, kept): (Vec<&Right>, Vec<&Right>) = of_views.into_iter().partition(gone);
    out.extend(missing(&Found::new(), again.into_iter())?);
    out.extend(missing(found, kept.into_iter())?);
    out.extend(members_of(catalog, wanted, &grant.part)?);
    Ok(out)
}

/// The line that the views ask.
fn life(catalog: &Catalog, grant: &WantedGrant) -> Result<Option<Statement>, GrantRefusal> {
    let instant = |text: &str| text.parse::<Timestamp>().ok();
    let sql = format!(
        "INSERT INTO maru.grant_life (grant_id, not_before, not_after, revoked) VALUES ({}, {}, {}, false) \
         ON CONFLICT (grant_id) DO UPDATE SET not_before = excluded.not_before, not_after = excluded.not_after, revoked = false",
        value(&grant.names.id)?,
        value(&grant.not_before)?,
        value(&grant.not_after)?
    );
    let Some(found) = catalog.kept.lives.iter().find(|life| life.id == grant.names.id) else {
        return Ok(Some(Statement::new(sql)));
    };
    let same = instant(&found.not_before) == instant(&grant.not_before)
        && instant(&found.not_after) == instant(&grant.not_after);
    Ok(match (same, found.revoked) {
        (true, false) => None,
        (true, true) => Some(Statement::new(sql)),
        (false, _) => Some(Statement::undo(sql)),
    })
}

/// The statements that make a view, or make it again where it is not as it was made.
fn view_statements(
    catalog: &Catalog,
    grant: &WantedGrant,
    view: &str,
    body: &str,
) -> Result<Option<Vec<Statement>>, GrantRefusal> {
    let schema = &grant.names.schema;
    let found = catalog.relation(schema, view);
    let noted = catalog
        .kept
        .views
        .iter()
        .find(|(in_schema, named, ..)| in_schema == schema && named == view);
    let is_as_made = found.zip(noted).is_some_and(|(found, (_, _, asked, made))| {
        found.kind == 'v'
            && found.owner == grant.names.owner
            && found.options == ["security_barrier=true"]
            && asked == body
            && found.definition.as_ref() == Some(made)
    });
    if is_as_made {
        return Ok(None);
    }
    let place = format!("{}.{}", name(schema)?, name(view)?);
    let mut out = Vec::new();
    if found.is_some() {
        out.push(Statement::undo(format!("DROP VIEW {place}")));
    }
    out.push(Statement::new(format!("SET LOCAL ROLE {}", name(&grant.names.owner)?)));
    out.push(Statement::new(format!(
        "CREATE VIEW {place} WITH (security_barrier = true) AS {body}"
    )));
    out.push(Statement::new("RESET ROLE"));
    out.push(Statement::new(format!(
        "INSERT INTO maru.grant_view (schema_name, view_name, asked, made) VALUES ({}, {}, {}, \
         pg_catalog.md5(pg_catalog.pg_get_viewdef({}::regclass))) \
         ON CONFLICT (schema_name, view_name) DO UPDATE SET asked = excluded.asked, made = excluded.made",
        value(schema)?,
        value(view)?,
        value(body)?,
        value(&place)?
    )));
    Ok(Some(out))
}

impl WantedGrant {
    /// The view that a right is to.
    fn view_of(&self, right: &Right) -> Option<&str> {
        match &right.target {
            super::right::Target::Relation(schema, name) if *schema == self.names.schema => {
                self.views.get_key_value(name).map(|(name, _)| name.as_str())
            }
            _ => None,
        }
    }
}
