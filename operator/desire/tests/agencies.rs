//! What an agency becomes, case by case.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{agency, agency_facts, carry_out_agency, names, noon, object, platform};
use maru_crds::{Agency, AgencyStatus};
use maru_desire::{
    AgencyFacts, Amounts, Applied, Finalizer, NamespaceFacts, ObjectKey, ObjectKind, Outcome, Plan, Resource,
    SystemDemand, SystemKey, plan_agency, report_agency,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn mois(more: &Value) -> Agency {
    let mut spec = json!({"tier": "Central", "securityGrade": "Moderate"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    agency("mois", &spec)
}

fn turn(agency: &mut Agency, facts: &mut AgencyFacts<'_>) -> (Plan, AgencyStatus) {
    let plan = plan_agency(agency, facts);
    let applied = carry_out_agency(&plan, facts, |_| {});
    let status = report_agency(agency, facts, &applied, &noon());
    agency.status = Some(status.clone());
    (plan, status)
}

fn condition(status: &AgencyStatus, kind: &str) -> String {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    format!("{} {}: {}", found.status, found.reason, found.message)
}

fn there(label: Option<&str>) -> NamespaceFacts {
    NamespaceFacts {
        uid: "uid".to_owned(),
        agency: label.map(str::to_owned),
        ..NamespaceFacts::default()
    }
}

fn asks(namespace: &str, cores: i64) -> SystemDemand {
    let mut amounts = Amounts::default();
    amounts.add(&Resource::Cpu, cores * 1000);
    SystemDemand {
        system: SystemKey::new(namespace, "docs"),
        amounts,
    }
}

/// The cores that each namespace's quota has.
fn cores(plan: &Plan) -> BTreeMap<&str, &str> {
    let quotas = plan
        .objects
        .iter()
        .filter(|object| object.key.kind == ObjectKind::ResourceQuota);
    quotas
        .map(|quota| {
            (
                quota.key.namespace.as_str(),
                quota.body["spec"]["hard"]["requests.cpu"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_new_agency_is_ready_once_its_namespace_is_seen() {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    let (_, status) = turn(&mut mois(&json!({})), &mut facts);
    assert_eq!(status.namespace_count, Some(1));
    insta::assert_snapshot!(condition(&status, "Ready"), @"True Ready: set up with quota, limits, rights and network policies: mois");
    let plan = plan_agency(&mois(&json!({})), &agency_facts(&platform));
    let applied = Applied::new(&plan, Vec::new());
    let unseen = report_agency(&mois(&json!({})), &agency_facts(&platform), &applied, &noon());
    assert_eq!(condition(&unseen, "Ready"), "Unknown Provisioned: not seen yet: mois");
}

#[test]
fn a_namespace_that_is_not_the_agencys_is_left_alone_and_it_is_said_how_to_get_one() {
    let cases = [
        ("another's", "shared", there(Some("nts"))),
        ("nobody's", "shared", there(None)),
        ("the platform's", "kube-public", there(None)),
        (
            "going",
            "shared",
            NamespaceFacts {
                terminating: Some("a finalizer is left".to_owned()),
                ..there(Some("mois"))
            },
        ),
    ];
    let platform = platform();
    let mut seen = Vec::new();
    for (case, namespace, known) in cases {
        let mut facts = agency_facts(&platform);
        facts.namespaces.insert(namespace.to_owned(), known);
        let (plan, status) = turn(
            &mut mois(&json!({"namespaces": [{"name": "mois"}, {"name": namespace}]})),
            &mut facts,
        );
        assert!(
            plan.objects
                .iter()
                .all(|object| object.key.namespace != namespace && object.key.name != namespace)
        );
        assert!(
            !names(&plan, ObjectKind::ResourceQuota).is_empty(),
            "its other namespace is set up"
        );
        seen.push(format!("{case}: {}", condition(&status, "Ready")));
    }
    insta::assert_snapshot!(seen.join("\n"), @r#"
    another's: False NamespaceTaken: namespace shared belongs to another agency; choose another name in spec.namespaces
    nobody's: False NamespaceNotAdopted: namespace shared exists and nobody handed it to this agency; choose another name, or hand it over with: kubectl label namespace shared maru.dev/agency=mois
    the platform's: False NamespaceProtected: namespace kube-public belongs to the platform; choose another name in spec.namespaces
    going: False NamespaceTerminating: namespace shared is being deleted (a finalizer is left); it is made anew when it is gone
    "#);
}

#[test]
fn a_namespace_whose_label_was_taken_off_is_known_by_its_uid() {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    let mut mois = mois(&json!({}));
    turn(&mut mois, &mut facts);
    facts.namespaces.get_mut("mois").unwrap().agency = None;
    let (plan, _) = turn(&mut mois, &mut facts);
    assert_eq!(names(&plan, ObjectKind::Namespace), ["mois"]);
    facts.namespaces.insert("mois".to_owned(), there(None));
    let (plan, _) = turn(&mut mois, &mut facts);
    assert_eq!(
        names(&plan, ObjectKind::Namespace),
        [""; 0],
        "a successor of the same name is a stranger"
    );
}

#[test]
fn a_namespace_that_is_no_longer_listed_keeps_its_policies_and_what_its_systems_need() {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    facts.systems = vec![asks("mois-old", 3)];
    let mut agency = mois(&json!({"quota": {"cpu": "10"}, "namespaces": [{"name": "mois"}, {"name": "mois-old"}]}));
    turn(&mut agency, &mut facts);
    agency.spec.namespaces.truncate(1);
    turn(&mut agency, &mut facts);
    let (plan, status) = turn(&mut agency, &mut facts);
    assert_eq!(plan.sweep, []);
    assert_eq!(cores(&plan), BTreeMap::from([("mois", "7"), ("mois-old", "3")]));
    insta::assert_snapshot!(condition(&status, "Ready"), @"True Ready: set up with quota, limits, rights and network policies: mois, mois-old; namespace mois-old is this agency's and spec.namespaces does not list it: it keeps its policies and a quota of what its systems ask for; list it again, or delete it when nothing in it is needed");
}

#[test]
fn a_quota_goes_first_to_what_systems_ask_for_then_by_weight() {
    let namespaces = json!([{"name": "a", "quotaWeight": 3}, {"name": "b"}]);
    let agency = mois(&json!({"quota": {"cpu": "10"}, "namespaces": namespaces}));
    let platform = platform();
    for (asked, expected) in [
        ((0, 0), ("7500m", "2500m")),
        ((0, 6), ("3", "7")),
        ((5, 5), ("5", "5")),
        ((15, 5), ("7500m", "2500m")),
    ] {
        let mut facts = agency_facts(&platform);
        facts.systems = vec![asks("a", asked.0), asks("b", asked.1)];
        let plan = plan_agency(&agency, &facts);
        assert_eq!(
            cores(&plan),
            BTreeMap::from([("a", expected.0), ("b", expected.1)]),
            "{asked:?}"
        );
    }
}

#[test]
fn a_quota_that_is_too_small_is_told_of_and_the_agency_is_ready_all_the_same() {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    facts.systems = vec![asks("mois", 12)];
    let (_, status) = turn(&mut mois(&json!({"quota": {"cpu": "10"}})), &mut facts);
    assert!(condition(&status, "Ready").starts_with("True"));
    insta::assert_snapshot!(condition(&status, "QuotaFits"), @"False QuotaExceeded: the systems ask for more than the quota allows, so the last pods to start are refused: CPU 12 of 10; raise spec.quota or lower what the systems ask for");
}

#[test]
fn rights_and_ways_out_that_are_taken_from_the_spec_go() {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    let mut agency = mois(&json!({
        "administrators": [{"kind": "Group", "name": "mois-platform"}],
        "billReaders": [{"kind": "ServiceAccount", "name": "auditor", "namespace": "mois"}],
        "network": {"egress": [{"name": "net", "cidr": "203.0.113.0/24", "ports": [{"port": 443}]}]},
    }));
    let (plan, _) = turn(&mut agency, &mut facts);
    let subject = &object(&plan, ObjectKind::RoleBinding, "maru-bill-readers")["subjects"][0];
    assert_eq!(
        *subject,
        json!({"kind": "ServiceAccount", "name": "auditor", "namespace": "mois"})
    );
    agency.spec.administrators.clear();
    agency.spec.network.egress.clear();
    let (plan, _) = turn(&mut agency, &mut facts);
    let swept: Vec<String> = plan.sweep.iter().map(ToString::to_string).collect();
    assert_eq!(
        swept,
        [
            "NetworkPolicy mois/maru-allow-egress",
            "RoleBinding mois/maru-administrators"
        ]
    );
}

#[test]
fn namespaces_go_with_an_agency_only_where_that_was_said_before_and_nothing_must_be_kept() {
    for (policies, kept, crd_terminating, goes, finalizer) in [
        (("Retain", "Delete"), None, false, false, Finalizer::Release),
        (("Delete", "Retain"), None, false, false, Finalizer::Release),
        (("Delete", "Delete"), None, true, false, Finalizer::Release),
        (
            ("Delete", "Delete"),
            Some("AgencySystem mois/docs"),
            false,
            false,
            Finalizer::Wait,
        ),
        (("Delete", "Delete"), None, false, true, Finalizer::Wait),
    ] {
        let platform = platform();
        let mut facts = agency_facts(&platform);
        let mut agency = mois(&json!({"deletionPolicy": policies.1}));
        turn(&mut agency, &mut facts);
        agency.spec.deletion_policy = serde_json::from_value(json!(policies.0)).unwrap();
        agency.metadata.deletion_timestamp = Some(noon());
        facts.crd_terminating = crd_terminating;
        facts
            .namespaces
            .get_mut("mois")
            .unwrap()
            .retained
            .extend(kept.map(str::to_owned));
        let plan = plan_agency(&agency, &facts);
        let namespace = ObjectKey::new(ObjectKind::Namespace, "", "mois");
        assert_eq!(plan.sweep == [namespace], goes, "{policies:?} {kept:?}");
        assert_eq!(plan.finalizer, finalizer, "{policies:?} {kept:?}");
    }
}

#[test]
fn what_must_be_kept_is_named_while_an_agency_waits_to_go() {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    let mut agency = mois(&json!({"deletionPolicy": "Delete"}));
    turn(&mut agency, &mut facts);
    agency.metadata.deletion_timestamp = Some(noon());
    let retained = (0..12).map(|number| format!("PersistentVolumeClaim mois/data-{number:02}"));
    facts.namespaces.get_mut("mois").unwrap().retained.extend(retained);
    let (_, status) = turn(&mut agency, &mut facts);
    insta::assert_snapshot!(condition(&status, "Ready"), @"False DeletionBlocked: nothing is deleted while these must be kept: PersistentVolumeClaim mois/data-00, PersistentVolumeClaim mois/data-01, PersistentVolumeClaim mois/data-02, PersistentVolumeClaim mois/data-03, PersistentVolumeClaim mois/data-04, PersistentVolumeClaim mois/data-05, PersistentVolumeClaim mois/data-06, PersistentVolumeClaim mois/data-07, PersistentVolumeClaim mois/data-08, PersistentVolumeClaim mois/data-09 and 2 more; delete them, or set deletionPolicy: Delete on the systems before they are deleted");
}

#[test]
fn a_refusal_of_the_api_server_is_told_in_its_words() {
    let platform = platform();
    let facts = agency_facts(&platform);
    let plan = plan_agency(&mois(&json!({})), &facts);
    let key = ObjectKey::new(ObjectKind::RoleBinding, "mois", "maru-administrators");
    let refused = Outcome::refused("Forbidden", "user maru may not grant rights that it does not have");
    let applied = Applied::new(&plan, vec![(key, refused)]);
    let status = report_agency(&mois(&json!({})), &facts, &applied, &noon());
    insta::assert_snapshot!(condition(&status, "Ready"), @"False Refused: RoleBinding mois/maru-administrators: user maru may not grant rights that it does not have");
}
