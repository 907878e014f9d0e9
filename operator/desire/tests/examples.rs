//! The whole plan of each example, as it was looked through. A change here is a change of what an example becomes.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{agency_facts, condition, examples, facts, platform, settle, turn};
use kube_core::ResourceExt;
use maru_crds::{Agency, AgencySystem};
use maru_desire::{AgencyBinding, Platform, plan_agency, plan_system};

#[test]
fn each_agency_of_the_examples_becomes_these_objects() {
    let platform = platform();
    for agency in examples::<Agency>("Agency") {
        let plan = plan_agency(&agency, &agency_facts(&platform));
        insta::assert_yaml_snapshot!(format!("agency_{}", agency.name_any()), plan);
    }
}

#[test]
fn each_system_of_the_examples_becomes_these_objects() {
    let platform = platform();
    for system in examples::<AgencySystem>("AgencySystem") {
        let mut facts = facts(&platform);
        facts.agency = AgencyBinding::Found {
            name: system.namespace().unwrap(),
            blocked: None,
        };
        let plan = plan_system(&system, &facts);
        insta::assert_yaml_snapshot!(format!("system_{}", system.name_any()), plan);
    }
}

#[test]
fn without_the_gateway_api_the_same_system_has_an_ingress() {
    let platform = Platform::default();
    let docs = examples::<AgencySystem>("AgencySystem")
        .into_iter()
        .find(|system| system.name_any() == "docs")
        .unwrap();
    let plan = plan_system(&docs, &facts(&platform));
    let routes: Vec<_> = plan
        .objects
        .iter()
        .filter(|object| object.key.namespace == "mois" && object.key.name.starts_with("docs.docs"))
        .collect();
    insta::assert_yaml_snapshot!("route_as_ingress", routes);
}

#[test]
fn every_system_of_the_examples_is_ready_once_its_pods_run() {
    let platform = platform();
    for system in examples::<AgencySystem>("AgencySystem") {
        let mut facts = facts(&platform);
        turn(&system, &mut facts);
        settle(&mut facts);
        let (_, status) = turn(&system, &mut facts);
        let ready = condition(&status, "Ready");
        assert!(ready.starts_with("True"), "{}: {ready}", system.name_any());
    }
}
