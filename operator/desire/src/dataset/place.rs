//! Where a dataset's database comes from: made anew, found again, or adopted with the platform's consent.

use super::GrantRefusal;
use super::facts::DatasetFacts;
use super::names::{DatasetNames, Marker, Remark};
use super::plan::{Part, Statement, Transaction};
use super::view::{name, value};
use crate::plan::Problem;
use crate::reason::Reason;
use maru_crds::SecurityGrade;
use serde::Deserialize;

/// The query, asked in the administrator's database, whose only value is the JSON text of a [`FoundDatabase`]: `$1` is the
/// database's name and `$2` that of the role that would own it.
pub const FIND_DATABASE_SQL: &str = include_str!("place.sql");

/// What a server says of a name.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FoundDatabase {
    /// Whether there is a database of that name.
    pub there: bool,
    /// Its comment.
    pub marker: Option<String>,
    /// Its owner.
    pub owner: Option<String>,
    /// Whether the one who asks has its owner's rights.
    pub mine: bool,
    /// Whether the owner's role of a new database is there already.
    pub owner_role_there: bool,
    /// The users that systems log in with.
    #[serde(default)]
    pub users: Vec<String>,
}

/// What is to be done before the database can be connected to as the dataset's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placing {
    /// Nothing: it is the dataset's.
    Placed,
    /// Transactions in the administrator's database.
    Run(Vec<Transaction>),
    /// It cannot be the dataset's.
    Refused(Problem),
}

/// Decides whose the database is. `grade` is the agency's; `lives` says whether the dataset of a marker is still there; `others` is how
/// many other datasets the server has.
pub fn place_database(
    facts: &DatasetFacts<'_>,
    grade: Option<SecurityGrade>,
    found: &FoundDatabase,
    lives: impl Fn(&Marker) -> bool,
    others: usize,
) -> Placing {
    let marker = found.marker.as_deref().and_then(Marker::parse);
    if found.there && marker.as_ref().is_some_and(|marker| marker.uid == facts.uid()) {
        return Placing::Placed;
    }
    let planned = admitted(facts, grade, others).and_then(|()| {
        if !found.there {
            return make(facts, found);
        }
        may_have(facts, found, marker.as_ref(), lives)?;
        take(facts, found)
    });
    match planned {
        Ok(transactions) => Placing::Run(transactions),
        Err(problem) => Placing::Refused(problem),
    }
}

/// What drops a database that goes with its dataset, and the roles that were made for it; nothing where it is gone already. One that is another's stays.
pub fn drop_database(facts: &DatasetFacts<'_>, found: &FoundDatabase) -> Result<Vec<Transaction>, Problem> {
    let unwritable = |refusal: GrantRefusal| Problem::new(Reason::SqlRefused, refusal.to_string());
    let names = DatasetNames::new(facts.uid());
    let mut transactions = Vec::new();
    if found.there {
        let marker = found.marker.as_deref().and_then(Marker::parse);
        if marker.is_none_or(|marker| marker.uid != facts.uid()) {
            let message = format!(
                "the database {:?} is not the dataset's and is left alone",
                facts.database
            );
            return Err(Problem::new(Reason::DatabaseTaken, message));
        }
        let sql = format!(
            "DROP DATABASE {} WITH (FORCE)",
            name(facts.database).map_err(unwritable)?
        );
        transactions.push(Transaction {
            part: Part::Dataset,
            purpose: "drop the database".to_owned(),
            apart: true,
            statements: vec![Statement::new(sql)],
        });
    }
    let made = [names.write, names.read, names.owner];
    let roles: Vec<String> = found.users.iter().cloned().chain(made).collect();
    let drops = roles
        .iter()
        .map(|role| Ok(Statement::new(format!("DROP ROLE IF EXISTS {}", name(role)?))));
    transactions.push(Transaction {
        part: Part::Dataset,
        purpose: "drop the roles of the database".to_owned(),
        apart: false,
        statements: drops.collect::<Result<_, _>>().map_err(unwritable)?,
    });
    Ok(transactions)
}

fn admitted(facts: &DatasetFacts<'_>, grade: Option<SecurityGrade>, others: usize) -> Result<(), Problem> {
    let spec = &facts.server.spec;
    let server = facts.server.metadata.name.as_deref().unwrap_or_default();
    let admits = match (&spec.placement, grade) {
        (None, _) => true,
        (Some(placement), Some(grade)) => placement.admits(facts.agency, grade),
        (Some(placement), None) => placement.agencies.iter().any(|name| name == facts.agency),
    };
    if !admits {
        let message = format!(
            "the server {server} does not take datasets of the agency {}: choose another serverRef, or ask the platform to add the agency \
             or its grade to the server's placement",
            facts.agency
        );
        return Err(Problem::new(Reason::PlacementRefused, message));
    }
    let most = spec
        .limits
        .as_ref()
        .and_then(|limits| limits.datasets)
        .and_then(|most| usize::try_from(most).ok());
    if most.is_some_and(|most| others >= most) {
        let message = format!(
            "the server {server} has {others} datasets, as many as its limits allow: choose another serverRef, or ask the platform to raise limits.datasets"
        );
        return Err(Problem::new(Reason::ServerFull, message));
    }
    Ok(())
}

/// Whether the platform lets this namespace take over the database.
fn consents(facts: &DatasetFacts<'_>) -> bool {
    let adoptable = &facts.server.spec.adoptable;
    facts.is_adopted()
        && adoptable
            .iter()
            .any(|one| one.database == facts.database && one.namespace == facts.namespace())
}

fn may_have(
    facts: &DatasetFacts<'_>,
    found: &FoundDatabase,
    marker: Option<&Marker>,
    lives: impl Fn(&Marker) -> bool,
) -> Result<(), Problem> {
    let (database, namespace) = (facts.database, facts.namespace());
    if let Some(marker) = marker {
        if lives(marker) {
            let message = format!(
                "the database {database:?} is that of the dataset {}/{}: two datasets cannot have one database",
                marker.namespace, marker.name
            );
            return Err(Problem::new(Reason::DatabaseTaken, message));
        }
        // The object was deleted and made again, or the kinds were; the data is the same agency's.
        if marker.namespace == namespace && marker.name == facts.name() && marker.agency == facts.agency {
            return Ok(());
        }
    } else if found.owner.as_deref() == Some(DatasetNames::new(facts.uid()).owner.as_str()) {
        return Ok(()); // made by Maru, which was ended before it could say so
    }
    if consents(facts) {
        return Ok(());
    }
    let message = if facts.is_adopted() {
        format!(
            "the platform has not agreed that {namespace} takes over the database {database:?}: it adds {{database: {database:?}, \
             namespace: {namespace}}} to adoptable of the server"
        )
    } else {
        format!(
            "there is a database {database:?} already and it is not this dataset's: rename it, or delete this object and make one that adopts it"
        )
    };
    let reason = if facts.is_adopted() {
        Reason::AdoptionNotAllowed
    } else {
        Reason::DatabaseTaken
    };
    Err(Problem::new(reason, message))
}

fn make(facts: &DatasetFacts<'_>, found: &FoundDatabase) -> Result<Vec<Transaction>, Problem> {
    if facts.is_adopted() {
        let message = format!(
            "the server has no database {:?} to adopt: correct adopt.database in another dataset, or leave adopt out for a new database",
            facts.database
        );
        return Err(Problem::new(Reason::DatabaseMissing, message));
    }
    let owner = DatasetNames::new(facts.uid()).owner;
    let statements = || -> Result<_, GrantRefusal> {
        let (database, role) = (name(facts.database)?, name(&owner)?);
        let comment = Remark::Owner.comment(facts.database).unwrap_or_default();
        let mut roles = Vec::new();
        if !found.owner_role_there {
            roles.push(Statement::new(format!(
                "CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT"
            )));
            roles.push(Statement::new(format!(
                "COMMENT ON ROLE {role} IS {}",
                value(&comment)?
            )));
        }
        roles.push(Statement::new(format!("GRANT {role} TO CURRENT_USER")));
        let create = format!("CREATE DATABASE {database} OWNER {role} TEMPLATE template0 ENCODING 'UTF8'");
        let mark = vec![
            Statement::new(format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC")),
            mark(facts)?,
        ];
        Ok((roles, vec![Statement::new(create)], mark))
    };
    let (roles, create, mark) = statements().map_err(|refusal| refused(&refusal))?;
    Ok(vec![
        transaction("make the role that owns the database", roles, false),
        transaction("make the database", create, true),
        transaction("write down whose the database is", mark, false),
    ])
}

fn take(facts: &DatasetFacts<'_>, found: &FoundDatabase) -> Result<Vec<Transaction>, Problem> {
    let mut statements = Vec::new();
    if let Some(owner) = found.owner.as_deref().filter(|_| !found.mine) {
        let role = name(owner).map_err(|refusal| refused(&refusal))?;
        statements.push(Statement::new(format!("GRANT {role} TO CURRENT_USER")));
    }
    statements.push(mark(facts).map_err(|refusal| refused(&refusal))?);
    Ok(vec![transaction("write down whose the database is", statements, false)])
}

fn mark(facts: &DatasetFacts<'_>) -> Result<Statement, GrantRefusal> {
    let marker = Marker {
        namespace: facts.namespace().to_owned(),
        name: facts.name().to_owned(),
        agency: facts.agency.to_owned(),
        uid: facts.uid().to_owned(),
    };
    let sql = format!(
        "COMMENT ON DATABASE {} IS {}",
        name(facts.database)?,
        value(&marker.to_string())?
    );
    Ok(Statement::new(sql))
}

fn transaction(purpose: &str, statements: Vec<Statement>, apart: bool) -> Transaction {
    Transaction {
        purpose: purpose.to_owned(),
        part: Part::Dataset,
        statements,
        apart,
    }
}

fn refused(refusal: &GrantRefusal) -> Problem {
    Problem::new(Reason::NameRefused, refusal.to_string())
}
