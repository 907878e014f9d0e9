//! Whether anything was written in a database since it was compared with its plan. A server says it for all of its databases at once, where a
//! comparison takes a session with each.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The query whose only value is the JSON text that [`Activity::read`] reads.
pub const ACTIVITY_SQL: &str = include_str!("activity.sql");
/// The query whose only value is the JSON text that [`Shared::read`] reads.
pub const SHARED_SQL: &str = include_str!("shared.sql");
/// The name under which a server tells of what its databases share: roles, memberships, comments.
const SHARED: &str = "";

/// What a server says of writing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Activity {
    /// Its clock, RFC 3339.
    pub now: String,
    /// When it started, as it says it: what it counts begins anew then.
    started: String,
    /// Whether it counts.
    counts: bool,
    /// By database.
    written: BTreeMap<String, String>,
    /// What the databases share.
    #[serde(skip)]
    shared: Arc<Shared>,
}

/// What databases share, as a hash for each of them of what its plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// What the server said of writing there, before it was asked for the rest.
    written: Option<String>,
    hashes: BTreeMap<String, String>,
}

impl Shared {
    /// Reads the answer to [`SHARED_SQL`], which was asked for after `before`.
    pub fn read(text: &str, before: &Activity) -> Result<Self, serde_json::Error> {
        Ok(Self {
            written: before.shared_written(),
            hashes: serde_json::from_str(text)?,
        })
    }
}

impl Activity {
    /// Reads the answer to [`ACTIVITY_SQL`].
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn shared_written(&self) -> Option<String> {
        Some(format!("{}/{}", self.started, self.written.get(SHARED)?))
    }

    /// What the databases share, as it was known, if nothing was written there since.
    pub fn still_shared(&self, known: &Arc<Shared>) -> Option<Arc<Shared>> {
        let same = self.counts && known.written.is_some() && known.written == self.shared_written();
        same.then(|| Arc::clone(known))
    }

    /// With what the databases share.
    #[must_use]
    pub fn with(self, shared: Arc<Shared>) -> Self {
        Self { shared, ..self }
    }

    /// What the databases shared when this was said.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A mark that is another one once something was written in the database or its roles and their memberships changed; none where the server
    /// does not tell. Who writes and stays connected without doing anything is told of ten seconds late (`pgstat_report_stat` in `PostgreSQL` 15).
    pub fn mark(&self, database: &str) -> Option<String> {
        let (shared, own) = (self.shared.hashes.get(database)?, self.written.get(database)?);
        self.counts.then(|| format!("{}/{own}/{shared}", self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn activity(started: &str, counts: bool, shared: &str, own: &str) -> Activity {
        let text = json!({"now": "2026-10-01T09:00:00Z", "started": started, "counts": counts, "written": {"": shared, "nts_tax": own}});
        Activity::read(&text.to_string()).unwrap()
    }

    fn shared(before: &Activity, hash: &str) -> Arc<Shared> {
        Arc::new(Shared::read(&json!({"nts_tax": hash}).to_string(), before).unwrap())
    }

    #[test]
    fn a_mark_changes_with_whatever_is_written_and_there_is_none_where_nobody_counts() {
        let first = activity("1", true, "1 1 1 ", "2 2 2 ");
        let with = |activity: &Activity, hash: &str| {
            let shared = shared(activity, hash);
            activity.clone().with(shared).mark("nts_tax")
        };
        assert!(with(&first, "h").is_some());
        assert_eq!(with(&first, "h"), with(&first, "h"));
        // Another database's roles are nothing to this one.
        assert_eq!(with(&first, "h"), with(&activity("1", true, "1 2 1 ", "2 2 2 "), "h"));
        assert_ne!(with(&first, "h"), with(&first, "i"));
        assert_ne!(with(&first, "h"), with(&activity("2", true, "1 1 1 ", "2 2 2 "), "h"));
        assert_ne!(with(&first, "h"), with(&activity("1", true, "1 1 1 ", "2 2 3 "), "h"));
        assert_eq!(with(&activity("1", false, "1 1 1 ", "2 2 2 "), "h"), None);
        assert_eq!(first.mark("nts_tax"), None, "what is shared is not known");
        assert_eq!(
            first.clone().with(shared(&first, "h")).mark("nts_other"),
            None,
            "it is not there"
        );
    }

    #[test]
    fn what_is_shared_is_asked_for_again_once_something_was_written_there() {
        let first = activity("1", true, "1 1 1 ", "2 2 2 ");
        let known = shared(&first, "h");
        assert_eq!(
            activity("1", true, "1 1 1 ", "9 9 9 ").still_shared(&known),
            Some(Arc::clone(&known))
        );
        for other in [
            activity("2", true, "1 1 1 ", "2 2 2 "),
            activity("1", true, "1 1 2 ", "2 2 2 "),
            activity("1", false, "1 1 1 ", "2 2 2 "),
        ] {
            assert_eq!(other.still_shared(&known), None);
        }
        assert_eq!(first.still_shared(&Arc::default()), None);
    }
}
