//! What is asked of a server to meter what a dataset takes and what is read of it.

use super::catalog::Catalog;
use super::names::{GrantNames, Remark};
use super::plan::DataPlan;
use crate::facts::SystemKey;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Where the statements of all databases are counted, as an identifier, or an empty text where nobody counts or the one who asks may not see it.
pub const COUNTED_SQL: &str = "SELECT coalesce((SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace \
     WHERE e.extname = 'pg_stat_statements' AND pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')), '')";
/// The readings that a database keeps, in the order of their moments, as one JSON text.
pub const READINGS_SQL: &str =
    "SELECT coalesce(json_agg(reading::json ORDER BY moment), '[]')::text FROM maru.usage_reading";
/// Keeps a reading ($2) for a moment ($1), unless there is one.
pub const KEEP_READING_SQL: &str = "WITH kept AS (INSERT INTO maru.usage_reading (moment, reading) \
     VALUES ($1::text::timestamptz, $2::text) ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*)::text FROM kept";
/// Forgets the readings before a moment ($1).
pub const FORGET_READINGS_SQL: &str = "WITH gone AS (DELETE FROM maru.usage_reading WHERE moment < $1::text::timestamptz RETURNING 1) \
     SELECT count(*)::text FROM gone";

/// The query for what logins read of a database, where `place` is what [`COUNTED_SQL`] answered.
pub fn count_sql(place: &str) -> String {
    include_str!("count.sql").replace("{place}", place)
}

/// What one login did that names the same grants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counted {
    /// The role.
    pub role: String,
    /// The role and its OID.
    pub login: String,
    /// The ids that its statements name, of grants or of nothing.
    pub grants: BTreeSet<String>,
    /// Statements since the server began to count.
    pub queries: u64,
    /// Rows that they gave.
    pub rows: u64,
}

/// The answer to [`count_sql`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counting {
    /// Since when the server counts, as it says it.
    pub since: String,
    /// How often it gave up counts of statements that are seldom used.
    pub evictions: i64,
    /// The logins that are there, with their OIDs.
    pub logins: BTreeSet<String>,
    /// By login and grants.
    pub counts: Vec<Counted>,
}

/// What a statement counts to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadOf {
    /// The grant with this id.
    Grant(String),
    /// The dataset: the statement names no grant of it.
    Dataset,
    /// The system's own data, which is nobody's to bill.
    Own,
}

/// The systems that log in to a database, by their roles.
pub fn counted_roles(catalog: &Catalog) -> BTreeMap<String, SystemKey> {
    let system = |remark: &str| match Remark::parse(remark)? {
        Remark::User(system, _) => Some(system),
        _ => None,
    };
    let roles = catalog.roles.iter();
    roles
        .filter_map(|role| Some((role.name.clone(), system(&role.remark)?)))
        .collect()
}

impl Counted {
    /// What the statements count to: each grant that there is or was, and that they name; where they name none, the dataset. Grants that ended are
    /// among them: their counts stay on the server, and are not to count as something else.
    pub fn of(&self, catalog: &Catalog) -> Vec<ReadOf> {
        let is_own = |role: &str| {
            let remark = catalog.role(role).and_then(|role| Remark::parse(&role.remark));
            matches!(remark, Some(Remark::Read | Remark::Write))
        };
        let memberships = || catalog.members.iter().filter(|(_, member)| *member == self.role);
        let own = memberships().any(|(role, _)| is_own(role));
        let reads = |id: &str| memberships().any(|(role, _)| role.strip_prefix("maru_reader_") == Some(id));
        let lives = catalog.kept.lives.iter().map(|life| &life.id);
        let named: Vec<ReadOf> = lives
            .filter(|id| self.grants.contains(*id) && (!own || reads(id)))
            .map(|id| ReadOf::Grant(id.clone()))
            .collect();
        match (named.is_empty(), own) {
            (false, _) => named,
            (true, false) => vec![ReadOf::Dataset],
            (true, true) => vec![ReadOf::Own],
        }
    }
}

/// The id of the grant with this UID, as readings have it.
pub fn grant_id(uid: &str) -> String {
    GrantNames::new(uid).id
}

impl DataPlan {
    /// Whether logins go, and with them what was counted of them.
    pub fn drops_roles(&self) -> bool {
        self.transactions()
            .flat_map(|transaction| &transaction.statements)
            .any(|statement| statement.sql.starts_with("DROP ROLE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A database with a consumer's login, an own system's, and two grants of which the second was withdrawn.
    fn catalog() -> Catalog {
        let role = |name: &str, remark: &str| {
            json!({"name": name, "login": true, "inherits": true, "connections": -1, "remark": remark,
                   "mighty": false, "makes": false, "mine": true})
        };
        let text = json!({
            "now": "2026-10-01T09:00:00Z", "database": "nts_businesses", "me": "maru_admin", "bytes": 0, "marker": null,
            "owner": {"name": "maru_db_1", "superuser": false, "ours": true}, "prepared": true, "metered": true,
            "roles": [
                role("maru_user_docs", "user mois/docs f1"), role("maru_user_registry", "user nts/registry f2"),
                role("maru_read_1", "read"), role("maru_reader_aa", "grant-reader"),
            ],
            "members": [["maru_reader_aa", "maru_user_docs"], ["maru_read_1", "maru_user_registry"]],
            "extensions": [], "schemas": [], "owners": [], "relations": [], "rights": [],
        });
        let mut catalog = Catalog::read(&text.to_string()).unwrap();
        let life = |id: &str, revoked: bool| json!({"id": id, "revoked": revoked, "not_before": "2026-10-01T00:00:00Z", "not_after": "infinity"});
        let kept = json!({"lives": [life("aa", false), life("bb", true)], "views": [], "rights": []});
        catalog.read_kept(&kept.to_string()).unwrap();
        catalog
    }

    fn of(role: &str, named: &[&str]) -> Vec<ReadOf> {
        let counted = Counted {
            role: role.to_owned(),
            login: format!("{role}#1"),
            grants: named.iter().map(|id| (*id).to_owned()).collect(),
            queries: 1,
            rows: 1,
        };
        counted.of(&catalog())
    }

    #[test]
    fn a_statement_counts_to_the_grants_that_it_names_and_to_the_dataset_where_it_names_none() {
        let grant = |id: &str| ReadOf::Grant(id.to_owned());
        for (named, counts_to) in [
            (&["aa"][..], vec![grant("aa")]),
            (&["aa", "bb"], vec![grant("aa"), grant("bb")]),
            // What was read before a grant was withdrawn is on the server still.
            (&["bb"], vec![grant("bb")]),
            (&[], vec![ReadOf::Dataset]),
            // A name that is none hides nothing.
            (&["cc"], vec![ReadOf::Dataset]),
            (&["aa", "cc"], vec![grant("aa")]),
        ] {
            assert_eq!(of("maru_user_docs", named), counts_to, "{named:?}");
        }
    }

    #[test]
    fn what_a_system_reads_of_its_own_data_counts_to_nobody_whatever_it_names() {
        for named in [&[][..], &["aa"], &["cc"]] {
            assert_eq!(of("maru_user_registry", named), [ReadOf::Own], "{named:?}");
        }
    }

    #[test]
    fn only_systems_are_counted() {
        let systems: Vec<String> = counted_roles(&catalog()).values().map(ToString::to_string).collect();
        assert_eq!(systems, ["mois/docs", "nts/registry"]);
    }
}
