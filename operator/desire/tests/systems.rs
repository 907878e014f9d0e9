//! What a system becomes, case by case.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{carry_out, condition, facts, named, names, object, platform, reasons, settle, store, system, turn, web};
use maru_crds::AgencySystem;
use maru_desire::{
    AgencyBinding, Finalizer, ObjectKey, ObjectKind, Platform, Reason, SystemFacts, VolumeFacts, demand, plan_system,
};
use serde_json::json;

const STORE: &str = "docs-store.data";

fn autoscaled() -> AgencySystem {
    system(&json!({"components": [web(&json!({"replicas": {"min": 2, "max": 6}}))]}))
}

fn replicas(system: &AgencySystem, facts: &SystemFacts<'_>) -> Option<i64> {
    object(&plan_system(system, facts), ObjectKind::Deployment, "docs-web")["spec"]["replicas"].as_i64()
}

fn blocked() -> AgencyBinding {
    AgencyBinding::Found {
        name: "mois".to_owned(),
        blocked: Some("KRW 31000000 of 30000000".to_owned()),
    }
}

#[test]
fn an_autoscaler_is_given_the_number_of_pods_once_it_takes_it() {
    let platform = platform();
    let mut facts = facts(&platform);
    let docs = autoscaled();
    assert_eq!(
        replicas(&docs, &facts),
        Some(2),
        "a new Deployment begins with the minimum"
    );
    turn(&docs, &mut facts);
    assert_eq!(
        replicas(&docs, &facts),
        Some(2),
        "held until the autoscaler has set it once"
    );
    let there = facts.deployments.get_mut("web").unwrap();
    (there.desired, there.replicas_ours) = (5, false);
    assert_eq!(replicas(&docs, &facts), None, "now it is the autoscaler's");
    facts.deployments.get_mut("web").unwrap().desired = 0;
    assert_eq!(replicas(&docs, &facts), Some(2), "no autoscaler comes back from none");
}

#[test]
fn from_a_fixed_number_to_an_autoscaler_no_pod_is_lost() {
    for (fixed, held) in [(4, 4), (1, 2), (9, 6)] {
        let platform = platform();
        let mut facts = facts(&platform);
        turn(
            &system(&json!({"components": [web(&json!({"replicas": {"fixed": fixed}}))]})),
            &mut facts,
        );
        assert_eq!(replicas(&autoscaled(), &facts), Some(held), "from {fixed}");
    }
}

#[test]
fn a_suspended_system_keeps_everything_but_its_pods() {
    let platform = platform();
    let mut facts = facts(&platform);
    let mut docs = system(&json!({
        "components": [web(&json!({"replicas": {"min": 2, "max": 6}})), store("1Gi")],
        "jobs": [{"name": "archive", "schedule": "30 2 * * *", "image": "maru.dev/hello:1"}],
        "hosts": [{"host": "docs.mois.example", "component": "web"}],
    }));
    turn(&docs, &mut facts);
    docs.spec.suspended = true;
    let (plan, _) = turn(&docs, &mut facts);
    for name in ["docs-web", "docs-store"] {
        assert_eq!(
            object(&plan, ObjectKind::Deployment, name)["spec"]["replicas"],
            0,
            "{name}"
        );
    }
    assert_eq!(
        object(&plan, ObjectKind::CronJob, "docs-archive")["spec"]["suspend"],
        true
    );
    assert_eq!(names(&plan, ObjectKind::PersistentVolumeClaim), [STORE]);
    assert_eq!(names(&plan, ObjectKind::HttpRoute), ["docs.docs.mois.example"]);
    let autoscaler = ObjectKey::new(ObjectKind::HorizontalPodAutoscaler, "mois", "docs-web");
    assert_eq!(plan.sweep, [autoscaler]);
    settle(&mut facts);
    let (_, status) = turn(&docs, &mut facts);
    assert!(condition(&status, "Ready").starts_with("True Suspended"));
    docs.spec.suspended = false;
    assert_eq!(replicas(&docs, &facts), Some(2), "back to the minimum");
}

#[test]
fn a_volume_grows_and_one_that_is_to_shrink_stays_and_is_told_of() {
    let platform = platform();
    let mut facts = facts(&platform);
    let size = |asked: &str, facts: &SystemFacts<'_>| {
        let plan = plan_system(&system(&json!({"components": [store(asked)]})), facts);
        let claim = object(&plan, ObjectKind::PersistentVolumeClaim, STORE);
        claim["spec"]["resources"]["requests"]["storage"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    turn(&system(&json!({"components": [store("2Gi")]})), &mut facts);
    assert_eq!(size("3Gi", &facts), "3Gi");
    assert_eq!(size("2048Mi", &facts), "2Gi");
    assert_eq!(size("1Gi", &facts), "2Gi");
    let (_, status) = turn(&system(&json!({"components": [store("1Gi")]})), &mut facts);
    insta::assert_snapshot!(condition(&status, "Ready"), @"False VolumeCannotShrink: volume data of store has 2Gi and cannot shrink to 1Gi: give size 2Gi or more, or add a volume of another name and move the files");
}

#[test]
fn a_volume_that_the_spec_no_longer_names_is_kept_and_told_of() {
    let platform = platform();
    let mut facts = facts(&platform);
    turn(
        &system(&json!({"components": [web(&json!({})), store("1Gi")], "deletionPolicy": "Delete"})),
        &mut facts,
    );
    let (plan, status) = turn(
        &system(&json!({"components": [web(&json!({}))], "deletionPolicy": "Delete"})),
        &mut facts,
    );
    assert!(plan.sweep.iter().any(|key| key.name == "docs-store"));
    assert!(facts.volumes.contains_key(STORE));
    insta::assert_snapshot!(condition(&status, "Provisioned"), @"True Provisioned: 4 objects are stored; volume claims that the spec no longer names are kept: docs-store.data");
}

#[test]
fn volumes_go_with_a_system_only_where_that_was_said_before() {
    for (spec, recorded, goes) in [
        ("Retain", Some("Retain"), false),
        ("Delete", Some("Retain"), false),
        ("Delete", None, false),
        ("Retain", Some("Delete"), false),
        ("Delete", Some("Delete"), true),
    ] {
        let platform = platform();
        let mut facts = facts(&platform);
        let mut docs = system(&json!({"components": [store("1Gi")], "deletionPolicy": spec}));
        turn(&docs, &mut facts);
        docs.metadata.deletion_timestamp = Some(house::noon());
        docs.status = Some(serde_json::from_value(json!({"deletionPolicy": recorded})).unwrap());
        let plan = plan_system(&docs, &facts);
        let claim = ObjectKey::new(ObjectKind::PersistentVolumeClaim, "mois", STORE);
        assert_eq!(plan.sweep.contains(&claim), goes, "{spec}, {recorded:?}");
        assert_eq!(plan.uids.contains_key(&claim), goes, "{spec}, {recorded:?}");
        assert_eq!(plan.finalizer, Finalizer::Wait);
        carry_out(&plan, &mut facts);
        assert_eq!(plan_system(&docs, &facts).finalizer, Finalizer::Release);
    }
}

#[test]
fn a_definition_or_a_namespace_that_goes_takes_nothing_along() {
    for (definition, namespace) in [(true, false), (false, true)] {
        let platform = platform();
        let mut facts = facts(&platform);
        let mut docs = system(&json!({"components": [store("1Gi")], "deletionPolicy": "Delete"}));
        turn(&docs, &mut facts);
        (facts.crd_terminating, facts.namespace_terminating) = (definition, namespace);
        docs.metadata.deletion_timestamp = Some(house::noon());
        docs.status = Some(serde_json::from_value(json!({"deletionPolicy": "Delete"})).unwrap());
        let plan = plan_system(&docs, &facts);
        assert_eq!((plan.sweep, plan.finalizer), (Vec::new(), Finalizer::Release));
    }
}

#[test]
fn past_a_budget_what_runs_goes_on_and_nothing_new_begins() {
    let platform = platform();
    let mut facts = facts(&platform);
    turn(&system(&json!({"components": [web(&json!({}))]})), &mut facts);
    facts.agency = blocked();
    let same = system(&json!({"components": [web(&json!({"image": "maru.dev/hello:2"}))]}));
    assert_eq!(reasons(&same, &facts), []);
    assert_eq!(names(&plan_system(&same, &facts), ObjectKind::Deployment), ["docs-web"]);
    let more = system(&json!({"components": [web(&json!({})), store("1Gi")]}));
    let (plan, status) = turn(&more, &mut facts);
    assert_eq!(names(&plan, ObjectKind::Deployment), ["docs-web"]);
    assert_eq!(names(&plan, ObjectKind::PersistentVolumeClaim), [""; 0]);
    insta::assert_snapshot!(condition(&status, "Ready"), @"False BudgetExceeded: not started: store. The budget of agency mois is spent (KRW 31000000 of 30000000) and it says onExceeded: BlockNew: what runs goes on, and nothing new begins until the next month, or until spec.budget of the agency is raised");
    // Its Deployment deleted by hand: it runs already, so it is healed.
    facts.owned.retain(|key| key.kind != ObjectKind::Deployment);
    facts.deployments.clear();
    assert_eq!(names(&plan_system(&same, &facts), ObjectKind::Deployment), ["docs-web"]);
}

#[test]
fn a_new_system_waits_for_its_agency_and_an_old_one_goes_on_without_it() {
    let not_ready = AgencyBinding::NotReady {
        name: "mois".to_owned(),
        why: "namespace mois is not set up yet for agency mois".to_owned(),
    };
    for (agency, expected) in [
        (AgencyBinding::Missing, Reason::AgencyMissing),
        (not_ready, Reason::AgencyNotReady),
    ] {
        let platform = platform();
        let docs = system(&json!({"components": [web(&json!({}))]}));
        let mut fresh = facts(&platform);
        fresh.agency = agency.clone();
        assert_eq!(plan_system(&docs, &fresh).objects, []);
        assert_eq!(reasons(&docs, &fresh), [expected]);
        let mut running = facts(&platform);
        turn(&docs, &mut running);
        running.agency = agency;
        assert_eq!(plan_system(&docs, &running).sweep, [], "{expected}");
    }
}

#[test]
fn what_a_system_asks_for_is_what_a_quota_counts() {
    let docs = |suspended: bool| {
        system(&json!({
            "components": [
                web(&json!({
                    "replicas": {"min": 2, "max": 6},
                    "resources": {
                        "cpu": "100m", "memory": "64Mi", "ephemeralStorage": "1Gi",
                        "accelerators": [{"resource": "nvidia.com/gpu", "count": 1}],
                    },
                })),
                store("10Gi"),
            ],
            "jobs": [{
                "name": "archive", "schedule": "30 2 * * *", "image": "maru.dev/hello:1", "resources": {"cpu": "50m", "memory": "32Mi"},
                "volumes": [{"name": "out", "mountPath": "/out", "persistent": {"size": "5Gi", "accessMode": "ReadWriteMany"}}],
            }],
            "suspended": suspended,
        }))
    };
    let shown = |system: &AgencySystem| format!("{:?}", demand(system).amounts);
    insta::assert_snapshot!(shown(&docs(false)), @r#"Amounts { plain: [750, 570425344, 6442450944, 16106127360, 8, 1, 2], devices: {"nvidia.com/gpu": 6} }"#);
    insta::assert_snapshot!(shown(&docs(true)), @r#"Amounts { plain: [0, 0, 0, 16106127360, 0, 1, 2], devices: {"nvidia.com/gpu": 0} }"#);
    let selected = system(&json!({"selector": {"matchLabels": {"app": "docs"}}}));
    assert_eq!(demand(&selected).amounts, maru_desire::Amounts::default());
}

#[test]
fn nothing_is_written_for_a_system_that_maru_only_meters_or_that_is_elsewhere() {
    let platform = platform();
    for spec in [
        json!({"selector": {"matchLabels": {"app": "docs"}}}),
        json!({"external": {"location": "Daejeon", "url": "https://docs.example"}}),
    ] {
        let plan = plan_system(&system(&spec), &facts(&platform));
        assert_eq!(
            (plan.objects, plan.sweep, plan.problems),
            (Vec::new(), Vec::new(), Vec::new())
        );
    }
}

#[test]
fn a_pod_ends_up_with_what_the_spec_says_and_passes_restricted() {
    let platform = Platform::default();
    let docs = system(&json!({"components": [web(&json!({
        "command": ["/bin/docs"], "args": ["--port", "8080"],
        "env": [
            {"name": "EMPTY", "value": ""},
            {"name": "PASSWORD", "secretRef": {"name": "docs-db", "key": "password"}},
            {"name": "MODE", "configMapRef": {"name": "docs", "key": "mode"}},
        ],
        "resources": {"cpu": "1500m", "memory": "1024Mi", "accelerators": [{"resource": "nvidia.com/gpu", "count": 2}]},
        "probes": {
            "startup": {"exec": {"command": ["/bin/started"]}, "failureThreshold": 30},
            "liveness": {"http": {"path": "/livez", "port": 8080}, "initialDelaySeconds": 0, "timeoutSeconds": 2},
            "readiness": {"tcp": {"port": 8080}, "periodSeconds": 5},
        },
        "volumes": [
            {"name": "shared", "mountPath": "/shared", "persistent": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
            {"name": "tls", "mountPath": "/tls", "readOnly": true, "secretRef": {"name": "docs-tls"}},
            {"name": "conf", "mountPath": "/conf", "configMapRef": {"name": "docs"}},
            {"name": "tmp", "mountPath": "/tmp", "emptyDir": {}},
        ],
        "terminationGracePeriodSeconds": 0,
    }))]}));
    let plan = plan_system(&docs, &facts(&platform));
    insta::assert_yaml_snapshot!(
        "pod",
        object(&plan, ObjectKind::Deployment, "docs-web")["spec"]["template"]
    );
}

#[test]
fn an_exclusive_volume_is_let_go_of_before_the_next_pod_starts() {
    let platform = platform();
    let docs = system(&json!({"components": [web(&json!({})), store("1Gi")]}));
    let plan = plan_system(&docs, &facts(&platform));
    let strategy = |name: &str| object(&plan, ObjectKind::Deployment, name)["spec"]["strategy"]["type"].clone();
    assert_eq!(
        (strategy("docs-web"), strategy("docs-store")),
        (json!("RollingUpdate"), json!("Recreate"))
    );
}

#[test]
fn no_two_systems_of_a_namespace_share_a_name() {
    let platform = platform();
    let one_job = |job: &str| json!([{"name": job, "schedule": "@daily", "image": "maru.dev/hello:1"}]);
    let systems = [
        named(
            "a",
            &json!({"components": [{"name": "b-c", "image": "i"}], "jobs": one_job("d")}),
        ),
        named(
            "a-b",
            &json!({"components": [{"name": "c", "image": "i"}], "jobs": one_job("c-d")}),
        ),
        named(
            "a-b-c",
            &json!({"components": [{"name": "d", "image": "i"}], "jobs": one_job("d-d")}),
        ),
        named("default", &json!({"components": [{"name": "c", "image": "i"}]})),
    ];
    let mut keys: Vec<ObjectKey> = systems
        .iter()
        .flat_map(|system| plan_system(system, &facts(&platform)).objects)
        .map(|object| object.key)
        .collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
    let account = ObjectKey::new(ObjectKind::ServiceAccount, "mois", "default");
    assert!(
        !keys.contains(&account),
        "every namespace has an account of that name already"
    );
}

#[test]
fn a_claim_whose_uid_is_not_known_is_never_deleted() {
    let platform = platform();
    let mut facts = facts(&platform);
    let mut docs = system(&json!({"components": [store("1Gi")], "deletionPolicy": "Delete"}));
    turn(&docs, &mut facts);
    facts.volumes = [("other".to_owned(), VolumeFacts::default())].into();
    docs.metadata.deletion_timestamp = Some(house::noon());
    docs.status = Some(serde_json::from_value(json!({"deletionPolicy": "Delete"})).unwrap());
    let plan = plan_system(&docs, &facts);
    assert!(
        plan.sweep
            .iter()
            .all(|key| key.kind != ObjectKind::PersistentVolumeClaim)
    );
}
