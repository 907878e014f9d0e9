//! Every example would be accepted as it is, and loses nothing on the way through the types.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use std::{fs, path::Path};

use maru_crds::{
    Agency, AgencySystem, Bill, BillingRun, Checker, CostPool, DataGrant, DatabaseServer, Dataset, RateCard, Scale,
    SystemKind, SystemSubscription,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// All documents of all examples, each with its file's name.
fn examples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap()).unwrap();
        found.extend(documents.into_iter().map(|document| (name.clone(), document)));
    }
    found
}

fn of_kind<K: DeserializeOwned>(kind: &str) -> Vec<K> {
    let found: Vec<K> = examples()
        .into_iter()
        .filter(|(_, object)| object["kind"] == kind)
        .map(|(_, object)| serde_json::from_value(object).unwrap())
        .collect();
    assert!(!found.is_empty(), "there is no example of {kind}");
    found
}

#[test]
fn every_example_would_be_accepted() {
    let checker = Checker::new().unwrap();
    for (file, object) in examples() {
        assert_eq!(checker.check(&object), [], "{file}");
    }
}

/// What is in `less` is in `more`; `more` may have defaults beside it.
fn contains(more: &Value, less: &Value) -> bool {
    match (more, less) {
        (Value::Object(more), Value::Object(less)) => less
            .iter()
            .all(|(key, value)| more.get(key).is_some_and(|other| contains(other, value))),
        (Value::Array(more), Value::Array(less)) => {
            more.len() == less.len() && more.iter().zip(less).all(|(more, less)| contains(more, less))
        }
        // What is left out when written means the same.
        _ => more == less,
    }
}

fn survives<K: DeserializeOwned + Serialize>(object: &Value) -> bool {
    let read: K = serde_json::from_value(object.clone()).unwrap();
    contains(&serde_json::to_value(read).unwrap(), object)
}

#[test]
fn nothing_of_an_example_is_lost_in_the_types() {
    for (file, mut object) in examples() {
        // A minimum charge of "0" is what a missing one means, and is not written.
        if let Some(version) = object.pointer_mut("/spec/versions/0") {
            version.as_object_mut().unwrap().remove("minimumCharge");
        }
        let kept = match object["kind"].as_str().unwrap() {
            "Agency" => survives::<Agency>(&object),
            "AgencySystem" => survives::<AgencySystem>(&object),
            "DataGrant" => survives::<DataGrant>(&object),
            "DatabaseServer" => survives::<DatabaseServer>(&object),
            "Dataset" => survives::<Dataset>(&object),
            "RateCard" => survives::<RateCard>(&object),
            "SystemSubscription" => survives::<SystemSubscription>(&object),
            "CostPool" => survives::<CostPool>(&object),
            "BillingRun" => survives::<BillingRun>(&object),
            "Bill" => survives::<Bill>(&object),
            other => panic!("{file} has an unknown kind {other}"),
        };
        assert!(kept, "{file}");
    }
}

#[test]
fn an_agency_without_namespaces_has_one_of_its_own_name() {
    let agencies: Vec<Agency> = of_kind("Agency");
    let names = |name: &str| {
        agencies
            .iter()
            .find(|agency| agency.metadata.name.as_deref() == Some(name))
            .unwrap()
            .namespace_names()
    };
    assert_eq!(names("mois"), ["mois", "mois-test"]);
    assert_eq!(names("nts"), ["nts"]);
}

#[test]
fn the_examples_show_all_three_ways_of_being_a_system() {
    let systems: Vec<AgencySystem> = of_kind("AgencySystem");
    for kind in [SystemKind::Components, SystemKind::Selector, SystemKind::External] {
        assert!(systems.iter().any(|system| system.spec.kind() == kind), "{kind:?}");
    }
}

#[test]
fn missing_figures_of_a_component_have_the_documented_defaults() {
    let systems: Vec<AgencySystem> = of_kind("AgencySystem");
    let docs = systems
        .iter()
        .find(|system| system.spec.kind() == SystemKind::Components)
        .unwrap();
    let [web, store] = docs.spec.components.as_slice() else {
        panic!("the example has two components")
    };
    assert_eq!(
        web.replicas.scale(),
        Scale::Auto {
            min: 2,
            max: 6,
            target_cpu_percent: 70
        }
    );
    assert_eq!(store.replicas.scale(), Scale::Fixed(1));
    assert!(web.ports[0].expose && !store.ports[0].expose);
    assert!(!web.service_account_token);
}

#[test]
fn a_price_book_has_items_named_by_themselves_or_by_their_meter() {
    let cards: Vec<RateCard> = of_kind("RateCard");
    let keys: Vec<_> = cards[0].spec.versions[0]
        .items
        .iter()
        .filter_map(maru_crds::PriceItem::key)
        .collect();
    assert_eq!(keys.len(), 10);
    assert_eq!((keys[0], keys[9]), ("cpu.reserved", "support"));
}
