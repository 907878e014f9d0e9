//! What is wanted of a database: roles, members, rights and views, each for the dataset or for one grant.

use super::GrantRefusal;
use super::catalog::{Catalog, is_maru_schema};
use super::facts::DatasetFacts;
use super::judge::{consumer, judge};
use super::login::{Login, Logins};
use super::names::{DatasetNames, GrantNames, Remark, user_roles};
use super::plan::Part;
use super::right::{Right, Target};
use super::view::{filter_of, read_columns, view_body};
use crate::facts::SystemKey;
use crate::plan::Problem;
use crate::reason::Reason;
use maru_crds::{DataAccess, DataGrant, DataGrantSpec};
use std::collections::{BTreeMap, BTreeSet};

/// A system that logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedUser {
    /// The system.
    pub system: SystemKey,
    /// The roles that it may log in as, which take turns.
    pub roles: [String; 2],
}

/// A role as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedRole {
    pub(crate) part: Part,
    pub(crate) remark: Remark,
    /// The most connections of a role that logs in.
    pub(crate) login: Option<i32>,
}

/// A grant that is in force, with its views.
#[derive(Clone, Debug)]
pub(crate) struct WantedGrant {
    pub(crate) part: Part,
    pub(crate) names: GrantNames,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    /// The name and the query of each view.
    pub(crate) views: BTreeMap<String, String>,
    /// Rights that need no view to be there.
    pub(crate) rights: BTreeSet<Right>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) roles: BTreeMap<String, WantedRole>,
    /// Role and member.
    pub(crate) members: BTreeMap<(String, String), Part>,
    pub(crate) rights: BTreeSet<Right>,
    pub(crate) grants: Vec<WantedGrant>,
    pub(crate) problems: Vec<(Part, Problem)>,
}

pub(crate) fn part_of(grant: &DataGrant) -> Part {
    Part::Grant(grant.metadata.uid.clone().unwrap_or_default())
}

/// The grants that belong into the database now.
fn open_grants<'a>(facts: &'a DatasetFacts<'_>, catalog: &Catalog) -> Vec<&'a DataGrant> {
    let grants = facts.grants.iter();
    grants.filter(|grant| judge(facts, catalog, grant).is_open()).collect()
}

/// The systems that log in: those of the dataset's own, and those with a grant in force.
pub fn wanted_users(facts: &DatasetFacts<'_>, catalog: &Catalog) -> Vec<WantedUser> {
    let own = facts
        .dataset
        .spec
        .systems
        .iter()
        .map(|system| facts.own_system(&system.name));
    let consumers = open_grants(facts, catalog).into_iter().map(consumer);
    let all: BTreeSet<SystemKey> = own.chain(consumers).collect();
    all.into_iter()
        .filter_map(|system| {
            let uid = &facts.systems.get(&system)?.uid;
            let roles = user_roles(facts.uid(), uid);
            Some(WantedUser { system, roles })
        })
        .collect()
}

impl WantedUser {
    /// What it logs in with: of what was given to it, that which is its own.
    fn logins(&self, given: &Logins) -> Vec<Login> {
        let given = given.get(&self.system).into_iter().flatten();
        let own: Vec<Login> = given
            .filter(|login| self.roles.contains(&login.role))
            .cloned()
            .collect();
        if own.is_empty() {
            let role = self.roles[0].clone();
            let fingerprint = String::new();
            return vec![Login { role, fingerprint }];
        }
        own
    }
}

/// Works out what is wanted. `logins` are what the systems have credentials for.
pub(crate) fn wanted(facts: &DatasetFacts<'_>, catalog: &Catalog, logins: &Logins) -> Wanted {
    let mut out = Wanted::default();
    let names = DatasetNames::new(facts.uid());
    // Made for this object, or for one of the same name before it.
    let remark = Remark::Owner.to_string();
    if catalog
        .role(&catalog.owner.name)
        .is_some_and(|role| role.remark == remark)
    {
        out.role(&catalog.owner.name, Part::Dataset, Remark::Owner, None);
    }
    out.role(&names.write, Part::Dataset, Remark::Write, None);
    out.role(&names.read, Part::Dataset, Remark::Read, None);
    out.own_rights(facts, catalog, &names);
    let connections = facts
        .server
        .spec
        .limits
        .as_ref()
        .map_or(20, |limits| limits.connections_per_user);
    let mut users: BTreeMap<SystemKey, Vec<String>> = BTreeMap::new();
    for user in wanted_users(facts, catalog) {
        for Login { role, fingerprint } in user.logins(logins) {
            let remark = Remark::User(user.system.clone(), fingerprint);
            out.role(&role, Part::Dataset, remark, Some(connections));
            users.entry(user.system.clone()).or_default().push(role);
        }
    }
    for owning in &facts.dataset.spec.systems {
        let system = facts.own_system(&owning.name);
        let Some(roles) = users.get(&system) else {
            let message = format!("there is no AgencySystem {system}: it gets its user when it is there");
            out.problems
                .push((Part::Dataset, Problem::new(Reason::SystemMissing, message)));
            continue;
        };
        let group = match owning.access {
            DataAccess::ReadWrite => &names.write,
            DataAccess::ReadOnly => &names.read,
        };
        for role in roles {
            out.members.insert((group.clone(), role.clone()), Part::Dataset);
        }
    }
    for grant in open_grants(facts, catalog) {
        let Some(roles) = users.get(&consumer(grant)) else {
            continue;
        };
        let part = part_of(grant);
        match wanted_grant(facts, grant) {
            Ok(wanted) => out.grant(wanted, roles),
            Err(refusal) => out
                .problems
                .push((part, Problem::new(Reason::GrantRefused, refusal.to_string()))),
        }
    }
    out
}

impl Wanted {
    fn role(&mut self, name: &str, part: Part, remark: Remark, login: Option<i32>) {
        self.roles.insert(name.to_owned(), WantedRole { part, remark, login });
    }

    fn own_rights(&mut self, facts: &DatasetFacts<'_>, catalog: &Catalog, names: &DatasetNames) {
        let mut give = |target: &Target, privileges: &[&str], to: &[&String]| {
            for (privilege, role) in privileges.iter().flat_map(|one| to.iter().map(move |role| (one, role))) {
                self.rights.insert(Right::new(target.clone(), role, privilege));
            }
        };
        let (write, read) = (&names.write, &names.read);
        give(
            &Target::Database(facts.database.to_owned()),
            &["CONNECT", "TEMPORARY"],
            &[write, read],
        );
        for (schema, owner) in &catalog.schemas {
            if !is_maru_schema(schema) && !catalog.is_out_of_reach(owner) {
                give(&Target::Schema(schema.clone()), &["USAGE"], &[write, read]);
            }
        }
        for found in catalog.relations.iter().filter(|found| !found.is_maru()) {
            if catalog.is_out_of_reach(&found.owner) {
                continue;
            }
            let (schema, name) = (found.schema.clone(), found.name.clone());
            match found.kind {
                'S' => give(&Target::Sequence(schema, name), &["USAGE", "SELECT"], &[write]),
                'r' | 'p' => {
                    let target = Target::Relation(schema, name);
                    give(&target, &["SELECT"], &[write, read]);
                    give(&target, &["INSERT", "UPDATE", "DELETE"], &[write]);
                }
                _ => give(&Target::Relation(schema, name), &["SELECT"], &[write, read]),
            }
        }
    }

    fn grant(&mut self, grant: WantedGrant, users: &[String]) {
        let part = grant.part.clone();
        self.role(&grant.names.owner, part.clone(), Remark::GrantOwner, None);
        self.role(&grant.names.reader, part.clone(), Remark::GrantReader, None);
        for user in users {
            self.members
                .insert((grant.names.reader.clone(), user.clone()), part.clone());
        }
        self.grants.push(grant);
    }
}

fn wanted_grant(facts: &DatasetFacts<'_>, grant: &DataGrant) -> Result<WantedGrant, GrantRefusal> {
    let names = GrantNames::new(grant.metadata.uid.as_deref().unwrap_or_default());
    let DataGrantSpec {
        tables,
        not_before,
        not_after,
        ..
    } = &grant.spec;
    let mut views = BTreeMap::new();
    let owner = names.owner.as_str();
    let mut rights = BTreeSet::from([
        Right::new(Target::Schema("maru".to_owned()), owner, "USAGE"),
        Right::new(
            Target::Relation("maru".to_owned(), "grant_life".to_owned()),
            owner,
            "SELECT",
        ),
        Right::new(Target::Database(facts.database.to_owned()), &names.reader, "CONNECT"),
        Right::new(Target::Schema(names.schema.clone()), &names.reader, "USAGE"),
    ]);
    for table in tables {
        let filter = filter_of(table)?;
        let body = view_body(&grant.spec, &names, table, filter.as_ref())?;
        if views.insert(table.name.clone(), body).is_some() {
            return Err(GrantRefusal::SameName(table.name.clone()));
        }
        rights.insert(Right::new(Target::Schema(table.schema.clone()), owner, "USAGE"));
        for column in read_columns(table, filter.as_ref()) {
            let target = Target::Column(table.schema.clone(), table.name.clone(), column.to_owned());
            rights.insert(Right::new(target, owner, "SELECT"));
        }
        let view = Target::Relation(names.schema.clone(), table.name.clone());
        rights.insert(Right::new(view, &names.reader, "SELECT"));
    }
    Ok(WantedGrant {
        part: part_of(grant),
        not_before: not_before.clone(),
        not_after: not_after.clone(),
        names,
        views,
        rights,
    })
}
