//! What is left of systems that are not there.

use super::{State, World};
use maru_desire::{ObjectKey, Owner, SystemKey};

impl World {
    /// The objects of a system that is not there which hold nobody's data and are not going already.
    pub(crate) fn orphans(&self, owner: &Owner) -> Vec<ObjectKey> {
        self.read().orphans_of(owner).cloned().collect()
    }
}

impl State {
    pub(super) fn orphans_of(&self, owner: &Owner) -> impl Iterator<Item = &ObjectKey> {
        let left = self.children.of(owner);
        left.filter(|(key, child)| !key.kind.holds_tenant_data() && !child.seen.terminating)
            .map(|(key, _)| key)
    }

    /// The systems that are not there and have left something.
    pub(super) fn bereft(&self) -> impl Iterator<Item = Owner> {
        let gone = self.children.owners().filter(|owner| match owner {
            Owner::Agency { .. } => false,
            Owner::System { namespace, name } => {
                let key = SystemKey::new(namespace.as_str(), name.as_str());
                !self.primaries.systems.contains_key(&key)
            }
        });
        gone.filter(|owner| self.orphans_of(owner).next().is_some()).cloned()
    }
}
