//! What is known of a dataset before its database is asked.

use crate::facts::SystemKey;
use maru_crds::{DataGrant, DatabaseServer, Dataset, GrantRef};
use std::collections::{BTreeMap, BTreeSet};

/// A dataset, its grants, and the systems that may have to do with it.
#[derive(Clone, Debug)]
pub struct DatasetFacts<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// The agency whose namespace it is in.
    pub agency: &'a str,
    /// The server that it is placed on.
    pub server: &'a DatabaseServer,
    /// The database's name on the server.
    pub database: &'a str,
    /// The grants of this dataset that are there and not being deleted.
    pub grants: &'a [DataGrant],
    /// The systems that are there, with their UIDs and what they accept.
    pub systems: &'a BTreeMap<SystemKey, Consent>,
}

/// A system, as far as data is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// Its UID.
    pub uid: String,
    /// The grants that it accepts.
    pub accepts: BTreeSet<GrantRef>,
}

impl DatasetFacts<'_> {
    /// The dataset's namespace.
    pub fn namespace(&self) -> &str {
        self.dataset.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The dataset's name.
    pub fn name(&self) -> &str {
        self.dataset.metadata.name.as_deref().unwrap_or_default()
    }

    /// The dataset's UID.
    pub fn uid(&self) -> &str {
        self.dataset.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether the database was there before.
    pub const fn is_adopted(&self) -> bool {
        self.dataset.spec.adopt.is_some()
    }

    /// The key of a system of the dataset's own namespace.
    pub fn own_system(&self, name: &str) -> SystemKey {
        SystemKey::new(self.namespace(), name)
    }
}
