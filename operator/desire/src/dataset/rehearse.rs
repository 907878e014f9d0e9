//! The SQL of a dataset that is not on a server yet, without asking one: what its first turns will do, to be looked at before.

use super::catalog::{Catalog, FoundRole, OwnerRole, Relation};
use super::enforce::plan_database;
use super::facts::DatasetFacts;
use super::judge::judge;
use super::login::{Login, Logins};
use super::names::{DatasetNames, Remark, user_roles};
use super::place::{FoundDatabase, Placing, place_database};
use super::plan::{Part, Transaction};
use super::right::{Right, Target};
use super::wanted::{Wanted, part_of, wanted};
use crate::plan::Problem;
use std::collections::BTreeSet;

/// What a fingerprint is called before there is a password.
const TO_COME: &str = "to-come";

/// What would be done, and what would stand in the way.
#[derive(Clone, Debug, Default)]
pub struct Rehearsed {
    /// In the administrator's database.
    pub place: Vec<Transaction>,
    /// In the dataset's own.
    pub fill: Vec<Transaction>,
    /// What is wrong with which part.
    pub problems: Vec<(Part, Problem)>,
}

/// Rehearses the first turns of a dataset whose database is to be made, with grants and all. `now` is RFC 3339.
pub fn rehearse_new(facts: &DatasetFacts<'_>, now: &str) -> Rehearsed {
    let mut out = Rehearsed::default();
    match place_database(facts, None, &FoundDatabase::default(), |_| false, 0) {
        Placing::Placed => {}
        Placing::Run(transactions) => out.place = transactions,
        Placing::Refused(problem) => {
            out.problems.push((Part::Dataset, problem));
            return out;
        }
    }
    let logins = logins(facts);
    let empty = fresh(facts, now);
    let first = plan_database(facts, &empty, &logins);
    out.fill.extend(first.transactions().cloned());
    let made = filled(facts, &empty, &wanted(facts, &empty, &logins));
    let second = plan_database(facts, &made, &logins);
    out.fill.extend(second.transactions().cloned());
    // The first plan misses tables that it is about to make.
    out.problems.extend(second.problems);
    for grant in facts.grants {
        let problem = judge(facts, &made, grant).problem;
        out.problems.extend(problem.map(|problem| (part_of(grant), problem)));
    }
    out
}

fn logins(facts: &DatasetFacts<'_>) -> Logins {
    let all = facts.systems.iter().map(|(key, system)| {
        let [role, _] = user_roles(facts.uid(), &system.uid);
        let fingerprint = TO_COME.to_owned();
        (key.clone(), vec![Login { role, fingerprint }])
    });
    all.collect()
}

/// A database a moment after it was made.
fn fresh(facts: &DatasetFacts<'_>, now: &str) -> Catalog {
    let owner = DatasetNames::new(facts.uid()).owner;
    let everybody = Right {
        grantee: None,
        ..Right::new(Target::Schema("public".to_owned()), "", "USAGE")
    };
    Catalog {
        now: now.to_owned(),
        database: facts.database.to_owned(),
        owner: OwnerRole {
            name: owner.clone(),
            superuser: false,
            ours: true,
        },
        me: String::new(),
        bytes: 0,
        marker: None,
        prepared: false,
        metered: false,
        roles: vec![role(&owner, &Remark::Owner, None)],
        members: BTreeSet::new(),
        extensions: BTreeSet::new(),
        schemas: vec![("public".to_owned(), "pg_database_owner".to_owned())],
        owners: Vec::new(),
        relations: Vec::new(),
        rights: vec![everybody],
        kept: super::catalog::Kept::default(),
    }
}

/// The database after the first plan was carried out.
fn filled(facts: &DatasetFacts<'_>, empty: &Catalog, wanted: &Wanted) -> Catalog {
    let mut out = empty.clone();
    let owner = &empty.owner.name;
    out.prepared = true;
    out.metered = true;
    out.roles = wanted
        .roles
        .iter()
        .map(|(name, asked)| role(name, &asked.remark, asked.login))
        .collect();
    out.members = wanted.members.keys().cloned().collect();
    out.rights = wanted.rights.iter().cloned().collect();
    out.extensions = facts.dataset.spec.extensions.iter().cloned().collect();
    for schema in &facts.dataset.spec.schemas {
        if schema.name != "public" {
            out.schemas.push((schema.name.clone(), owner.clone()));
        }
        out.relations.extend(schema.tables.iter().map(|table| {
            let columns = table.columns.iter().map(|column| {
                let kind = column.sql_type.clone().unwrap_or_default();
                (column.name.clone(), kind, !column.nullable)
            });
            Relation {
                schema: schema.name.clone(),
                name: table.name.clone(),
                kind: 'r',
                owner: owner.clone(),
                rows: 0,
                options: Vec::new(),
                definition: None,
                columns: columns.collect(),
                key: table.primary_key.clone(),
            }
        }));
    }
    out
}

fn role(name: &str, remark: &Remark, login: Option<i32>) -> FoundRole {
    FoundRole {
        name: name.to_owned(),
        login: login.is_some(),
        inherits: login.is_some() || *remark == Remark::Owner,
        connections: login.unwrap_or(-1),
        remark: remark.to_string(),
        mighty: false,
        makes: false,
        mine: true,
    }
}
