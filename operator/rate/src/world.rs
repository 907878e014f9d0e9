//! Who there is: agencies, their namespaces and their systems.

use std::collections::{BTreeMap, BTreeSet};

use maru_meter::UNASSIGNED;

/// The agencies and systems that usage is rated for.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(crate) agencies: BTreeSet<String>,
    /// Which agency a namespace belongs to.
    pub(crate) namespaces: BTreeMap<String, String>,
    pub(crate) systems: BTreeMap<String, System>,
}

/// An information system, as far as money goes.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// The agency whose namespace it is in.
    pub(crate) owner: String,
}

impl World {
    /// An agency and its namespaces.
    pub fn add_agency(&mut self, name: &str, namespaces: impl IntoIterator<Item = String>) {
        self.agencies.insert(name.to_owned());
        for namespace in namespaces {
            self.namespaces.insert(namespace, name.to_owned());
        }
    }

    /// A system in a namespace. A namespace that no agency names is taken for that of the agency of the same name.
    pub fn add_system(&mut self, namespace: &str, name: &str) {
        let owner = self
            .namespaces
            .get(namespace)
            .map_or(namespace, String::as_str)
            .to_owned();
        self.systems.insert(format!("{namespace}/{name}"), System { owner });
    }

    /// The full name of a system that a usage record of an agency names: `namespace/name` and `unassigned` are full already.
    /// A bare name is a system of the agency's own namespaces, else the only system of that name anywhere, else one that no
    /// manifest describes, in the namespace that is named after the agency.
    pub fn full_name(&self, agency: &str, system: &str) -> String {
        if system.contains('/') || system == UNASSIGNED {
            return system.to_owned();
        }
        let named = || {
            self.systems
                .keys()
                .filter(|key| key.rsplit_once('/').is_some_and(|(_, name)| name == system))
        };
        if let Some(own) = named().find(|key| self.systems[*key].owner == agency) {
            return own.clone();
        }
        let mut others = named();
        match (others.next(), others.next()) {
            (Some(only), None) => only.clone(),
            _ => format!("{agency}/{system}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_ones_own_system_before_anybody_elses() {
        let mut world = World::default();
        world.add_agency("nts", ["nts-prod".to_owned()]);
        world.add_system("nts-prod", "tax");
        world.add_system("mois", "tax");
        world.add_system("mois", "docs");
        let table = [
            ("nts", "tax", "nts-prod/tax"),
            ("mois", "tax", "mois/tax"),
            ("nts", "docs", "mois/docs"),
            ("moel", "tax", "moel/tax"),
            ("nts", "unheard", "nts/unheard"),
            ("nts", "unassigned", "unassigned"),
            ("nts", "mois/tax", "mois/tax"),
        ];
        for (agency, system, full) in table {
            assert_eq!(world.full_name(agency, system), full);
        }
    }
}
