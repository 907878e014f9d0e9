//! A dataset and its grants become SQL: roles, views that look at the clock, and the rights to them.
//!
//! What is wanted of a database is compared with what its catalogs say ([`Catalog`]); the difference is a [`DataPlan`]. An empty plan is
//! the proof that the database agrees, so the same function plans, repairs and verifies.

mod activity;
mod backup;
mod catalog;
mod close;
mod declare;
mod enforce;
mod facts;
mod filter;
mod judge;
mod login;
mod names;
mod place;
mod plan;
mod quote;
mod rehearse;
mod report;
mod right;
mod server;
mod usage;
mod view;
mod wanted;

pub use activity::{ACTIVITY_SQL, Activity, SHARED_SQL, Shared};
pub use backup::{BackupFacts, BackupWork, backup_due, goes, retention_days};
pub use catalog::{CATALOG_SQL, Catalog, FoundRole, KEPT_SQL, Kept, Life, OwnerRole, Relation};
pub use enforce::plan_database;
pub use facts::{Consent, DatasetFacts};
pub use filter::{Filter, FilterError, Operator};
pub use login::{Issued, Login, Logins, may_what, written_logins};
pub use names::{
    DatasetNames, GrantNames, Marker, Remark, credentials_name, database_name, dataset_of_credentials, user_roles,
};
pub use place::{FIND_DATABASE_SQL, FoundDatabase, Placing, drop_database, place_database};
pub use plan::{DataPlan, Part, Statement, Step, Transaction};
pub use quote::{identifier, literal};
pub use rehearse::{Rehearsed, rehearse_new};
pub use report::{
    Seen, most_of, report_dataset, report_grant, report_grant_without_dataset, report_held, report_unplaced,
};
pub use right::{Right, Target};
pub use server::{SERVER_SQL, ServerFacts, ServerLook, report_server};
pub use usage::{
    COUNTED_SQL, Counted, Counting, FORGET_READINGS_SQL, KEEP_READING_SQL, READINGS_SQL, ReadOf, count_sql,
    counted_roles, grant_id,
};
pub use wanted::{WantedUser, wanted_users};

/// Why a grant is not written into the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// The row filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A name or a constant cannot be written.
    #[error("{0:?} cannot be a name or a constant in SQL: at most 63 bytes, without NUL; correct it in another grant")]
    Unwritable(String),
    /// Two tables would have one view.
    #[error("two tables of the grant are called {0:?}: grant them in two grants")]
    SameName(String),
}
