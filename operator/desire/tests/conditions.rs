//! What an administrator reads in a system's conditions, case by case.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{carry_out, condition, facts, noon, platform, settle, system, turn, web};
use maru_desire::{
    Applied, DeploymentFacts, ObjectKey, ObjectKind, Outcome, PodFacts, PodsOfSystem, RouteFacts, SystemFacts,
    SystemKey, Trouble, plan_system, report_system,
};
use serde_json::{Value, json};

fn pods(total: i32, ready: i32, waiting: Option<(&str, &str)>) -> PodFacts {
    PodFacts {
        total,
        ready,
        waiting: waiting.map(|(reason, message)| trouble(reason, message)),
        ..PodFacts::default()
    }
}

fn trouble(reason: &str, message: &str) -> Trouble {
    Trouble {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// A Deployment of two pods of which so many are available.
fn two(available: i32, failure: Option<Trouble>) -> DeploymentFacts {
    DeploymentFacts {
        desired: 2,
        updated: 2,
        available,
        ready: available,
        total: 2,
        replicas_ours: true,
        observed_generation_current: true,
        failure,
    }
}

/// What is said of a component `web` whose Deployment and pods are like this.
fn available(case: &str, deployment: DeploymentFacts, pods: PodFacts) -> String {
    let docs = system(&json!({"components": [web(&json!({
        "replicas": {"fixed": 2}, "probes": {"readiness": {"tcp": {"port": 8080}}},
    }))]}));
    let platform = platform();
    let mut facts = facts(&platform);
    turn(&docs, &mut facts);
    facts.deployments.insert("web".to_owned(), deployment);
    facts.pods.insert("web".to_owned(), pods);
    let plan = plan_system(&docs, &facts);
    let status = report_system(&docs, &facts, &Applied::new(&plan, Vec::new()), &noon());
    let said = condition(&status, "Available");
    assert_eq!(
        condition(&status, "Ready").starts_with("True"),
        said.starts_with("True")
    );
    format!("{case}: {}\n  {said}", status.ready.unwrap())
}

#[test]
fn how_far_a_rollout_is() {
    let starting = DeploymentFacts {
        updated: 1,
        total: 1,
        ..two(1, None)
    };
    let leaving = DeploymentFacts {
        total: 3,
        ..two(2, None)
    };
    let unseen = DeploymentFacts {
        observed_generation_current: false,
        ..two(2, None)
    };
    let seen = [
        available("up", two(2, None), pods(2, 2, None)),
        available("starting", starting, pods(1, 1, None)),
        available("an old pod is left", leaving, pods(3, 3, None)),
        available("not seen by its controller", unseen, pods(2, 2, None)),
    ];
    insta::assert_snapshot!(seen.join("\n"), @r#"
    up: 1/1
      True Available: enough pods of every component are available
    starting: 0/1
      False RollingOut: component web: 1 of 2 pods are available
    an old pod is left: 0/1
      False RollingOut: component web: 2 of 2 pods are available; pods of the former version are still there
    not seen by its controller: 0/1
      False RollingOut: component web: 2 of 2 pods are available; the newest change has not been taken up yet
    "#);
}

#[test]
fn a_pod_without_a_node_of_its_grade_says_whom_to_ask() {
    let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector.";
    let room = pods(2, 1, Some(("Unschedulable", message)));
    let said = available("no room", two(1, None), room);
    assert!(said.contains(message), "{said}");
    assert!(
        said.ends_with(
            "an agency's pods go to nodes of its security grade (label maru.dev/grade) and to no others: ask the platform for \
             room on those"
        ),
        "{said}"
    );
}

#[test]
fn why_a_component_is_not_up() {
    let stuck = |reason: &str, message: &str| two(1, Some(trouble(reason, message)));
    let waiting = |ready: i32, reason: &str, message: &str| pods(2, ready, Some((reason, message)));
    let quota = r#"pods "docs-web-7d9c-x2x4z" is forbidden: exceeded quota: maru, requested: requests.cpu=2, used: requests.cpu=39, limited: requests.cpu=40"#;
    let pull = waiting(0, "ImagePullBackOff", "Back-off pulling image \"maru.dev/hello:1\"");
    let crash = waiting(
        1,
        "CrashLoopBackOff",
        "back-off 40s restarting failed container=web pod=docs-web-7d9c-x2x4z",
    );
    let config = waiting(0, "CreateContainerConfigError", "secret \"docs-db\" not found");
    let data = waiting(
        0,
        "CreateContainerConfigError",
        "secret \"docs.data.nts.income\" not found",
    );
    let room = waiting(1, "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.");
    let deadline = "ReplicaSet \"docs-web-7d9c\" has timed out progressing.";
    let seen = [
        available("its probe fails", two(1, None), pods(2, 1, None)),
        available("no such image", two(0, None), pull),
        available("it ends again and again", two(1, None), crash),
        available("no such Secret", two(0, None), config),
        available("no credentials yet", two(0, None), data),
        available("no room", two(1, None), room),
        available("the quota is spent", stuck("FailedCreate", quota), pods(1, 1, None)),
        available("stuck", stuck("ProgressDeadlineExceeded", deadline), pods(2, 1, None)),
    ];
    insta::assert_snapshot!(seen.join("\n"), @r#"
    its probe fails: 0/1
      False PodsNotReady: component web: 1 of 2 pods are available; the readiness probe of the others has not succeeded
    no such image: 0/1
      False ImagePullFailed: component web: 0 of 2 pods are available: image maru.dev/hello:1 cannot be pulled (ImagePullBackOff: Back-off pulling image "maru.dev/hello:1"); check its name and tag, and that the cluster may read it
    it ends again and again: 0/1
      False CrashLooping: component web: 1 of 2 pods are available: the container ends again and again (CrashLoopBackOff); kubectl logs -n mois -l maru.dev/system=docs,maru.dev/component=web --previous says why
    no such Secret: 0/1
      False ContainerConfigError: component web: 0 of 2 pods are available: the container cannot be set up (CreateContainerConfigError: secret "docs-db" not found); create the Secret or ConfigMap that it names, or give runAsUser where the image runs as root
    no credentials yet: 0/1
      False CredentialsPending: component web: 0 of 2 pods are available: its credentials for the dataset nts/income are not there yet; they come when the dataset is ready and, where it is another agency's, a grant is in force, which kubectl maru grants -n mois says
    no room: 0/1
      False Unschedulable: component web: 1 of 2 pods are available: no node takes the others (0/3 nodes are available: 3 Insufficient cpu.)
    the quota is spent: 0/1
      False PodsRefused: component web: 1 of 2 pods are available: pods are refused: exceeded quota: maru, requested: requests.cpu=2, used: requests.cpu=39, limited: requests.cpu=40; lower replicas or resources, or have the agency's spec.quota raised
    stuck: 0/1
      False RolloutStuck: component web: 1 of 2 pods are available: the rollout has made no progress within its deadline
    "#);
}

#[test]
fn the_worst_of_several_components_is_told_of_first() {
    let platform = platform();
    let mut facts = facts(&platform);
    let other = json!({"name": "other", "image": "maru.dev/hello:1"});
    let docs = system(&json!({"components": [web(&json!({})), other]}));
    turn(&docs, &mut facts);
    facts
        .pods
        .insert("other".to_owned(), pods(1, 0, Some(("ErrImagePull", "not found"))));
    let (_, status) = turn(&docs, &mut facts);
    insta::assert_snapshot!(condition(&status, "Ready"), @"False ImagePullFailed: component other: 0 of 1 pods are available: image maru.dev/hello:1 cannot be pulled (ErrImagePull: not found); check its name and tag, and that the cluster may read it (and 1 more of 2 components)");
    assert_eq!(status.ready.as_deref(), Some("0/2"));
}

#[test]
fn an_autoscaled_component_stays_ready_while_it_grows() {
    let platform = platform();
    let mut facts = facts(&platform);
    let docs = system(&json!({"components": [web(&json!({"replicas": {"min": 2, "max": 6}}))]}));
    turn(&docs, &mut facts);
    let grows = DeploymentFacts {
        desired: 5,
        updated: 5,
        total: 5,
        replicas_ours: false,
        ..two(2, None)
    };
    facts.deployments.insert("web".to_owned(), grows);
    let (_, status) = turn(&docs, &mut facts);
    assert!(condition(&status, "Ready").starts_with("True"));
    assert_eq!((status.replicas, status.ready_replicas), (Some(5), Some(2)));
}

#[test]
fn what_the_api_server_refused_is_told_in_its_words() {
    let platform = platform();
    let docs = system(&json!({"components": [web(&json!({}))]}));
    let mut seen = Vec::new();
    for (reason, message) in [
        (
            "Invalid",
            "Deployment.apps \"docs-web\" is invalid: spec.template.spec.containers[0].image: Required value",
        ),
        (
            "NameTaken",
            "Service mois/docs-web is there already and is not Maru's; rename or delete it",
        ),
        ("Terminating", "it is being deleted; waiting until it is gone"),
    ] {
        let mut facts = facts(&platform);
        turn(&docs, &mut facts);
        settle(&mut facts);
        let plan = plan_system(&docs, &facts);
        let key = ObjectKey::new(ObjectKind::Service, "mois", "docs-web");
        let applied = Applied::new(&plan, vec![(key, Outcome::refused(reason, message))]);
        let status = report_system(&docs, &facts, &applied, &noon());
        seen.push(condition(&status, "Ready"));
    }
    insta::assert_snapshot!(seen.join("\n"), @r#"
    False Refused: Service mois/docs-web: Deployment.apps "docs-web" is invalid: spec.template.spec.containers[0].image: Required value
    False NameTaken: Service mois/docs-web is there already and is not Maru's; rename or delete it
    False Terminating: Service mois/docs-web: it is being deleted; waiting until it is gone
    "#);
}

#[test]
fn a_route_that_nobody_answered_yet_does_not_hold_a_system_up() {
    let platform = platform();
    let mut facts = facts(&platform);
    let docs =
        system(&json!({"components": [web(&json!({}))], "hosts": [{"host": "docs.mois.example", "component": "web"}]}));
    turn(&docs, &mut facts);
    settle(&mut facts);
    let (_, status) = turn(&docs, &mut facts);
    insta::assert_snapshot!(condition(&status, "Ready"), @"True Ready: everything asked for is there; nothing was heard yet of the routes of docs.mois.example");
    assert!(condition(&status, "RoutesAccepted").starts_with("Unknown RoutePending"));
    let refused = RouteFacts {
        accepted: Some(false),
        message: "no listener takes routes of this namespace".to_owned(),
    };
    facts.routes.insert("docs.docs.mois.example".to_owned(), refused);
    let (_, status) = turn(&docs, &mut facts);
    insta::assert_snapshot!(condition(&status, "Ready"), @"False RouteRefused: host docs.mois.example is refused by the Gateway: no listener takes routes of this namespace");
}

#[test]
fn a_system_that_is_only_metered_says_what_was_found() {
    let platform = platform();
    let docs = system(&json!({"selector": {"matchLabels": {"app": "docs"}}}));
    let mut seen = Vec::new();
    for found in [
        None,
        Some(pods(3, 3, None)),
        Some(pods(3, 2, Some(("ErrImagePull", "not found")))),
        Some(pods(3, 1, None)),
    ] {
        let mut facts = facts(&platform);
        facts.pods.extend(found.map(|found| (String::new(), found)));
        let (_, status) = turn(&docs, &mut facts);
        seen.push(format!(
            "{:?}/{:?} {}",
            status.ready_replicas,
            status.replicas,
            condition(&status, "Ready")
        ));
    }
    insta::assert_snapshot!(seen.join("\n"), @r#"
    Some(0)/Some(0) True Ready: its pods are metered; no pod of the namespace has the labels that spec.selector asks for, so nothing is metered
    Some(3)/Some(3) True Ready: its pods are metered
    Some(2)/Some(3) False ImagePullFailed: 2 of 3 pods that spec.selector finds are ready: ErrImagePull: not found
    Some(1)/Some(3) False PodsNotReady: 1 of 3 pods that spec.selector finds are ready
    "#);
}

#[test]
fn an_external_system_is_ready_and_says_where_it_is() {
    let platform = platform();
    let docs = system(&json!({"external": {"location": "Daejeon", "url": "https://docs.example"}}));
    let (_, status) = turn(&docs, &mut facts(&platform));
    assert_eq!(status.urls, ["https://docs.example"]);
    assert!(condition(&status, "Ready").starts_with("True Ready"));
    assert!(condition(&status, "Available").starts_with("Unknown NotApplicable"));
}

#[test]
fn callers_that_do_not_exist_are_told_of_and_hold_nothing_up() {
    let platform = platform();
    let mut facts = facts(&platform);
    let docs = system(&json!({
        "components": [web(&json!({}))],
        "callers": [{"namespace": "nts", "name": "portal"}, {"namespace": "nts", "name": "gone"}],
    }));
    facts
        .callers
        .insert(SystemKey::new("nts", "portal"), PodsOfSystem::Labelled);
    turn(&docs, &mut facts);
    settle(&mut facts);
    let (_, status) = turn(&docs, &mut facts);
    insta::assert_snapshot!(condition(&status, "Provisioned"), @"True Provisioned: 4 objects are stored; callers that do not exist yet, and are let in when they do: nts/gone");
    assert!(condition(&status, "Ready").starts_with("True"));
}

#[test]
fn a_status_in_which_nothing_changed_is_the_same_to_the_byte() {
    let platform = platform();
    let mut facts = facts(&platform);
    let mut docs = system(&json!({"components": [web(&json!({}))]}));
    let later = serde_json::from_value(json!("2026-07-02T12:00:00Z")).unwrap();
    let (_, status) = turn(&docs, &mut facts);
    docs.status = Some(status.clone());
    let plan = plan_system(&docs, &facts);
    let applied = carry_out(&plan, &mut facts);
    assert_eq!(report_system(&docs, &facts, &applied, &later), status);
}

#[test]
fn a_system_that_is_going_says_what_is_still_there() {
    let platform = platform();
    let mut facts = facts(&platform);
    let mut docs = system(&json!({"components": [web(&json!({}))]}));
    turn(&docs, &mut facts);
    docs.metadata.deletion_timestamp = Some(noon());
    let plan = plan_system(&docs, &facts);
    let applied = Applied::new(&plan, Vec::new());
    let status = report_system(&docs, &facts, &applied, &noon());
    insta::assert_snapshot!(condition(&status, "Ready"), @"False Deleting: being deleted: Deployment mois/docs-web, Service mois/docs-web, ServiceAccount mois/docs, NetworkPolicy mois/docs-web");
}

#[test]
fn the_columns_answer_is_it_up_where_and_what_it_uses() {
    let platform = platform();
    let mut facts: SystemFacts<'_> = facts(&platform);
    let store: Value = json!({
        "name": "store", "image": "maru.dev/hello:1",
        "volumes": [{"name": "data", "mountPath": "/data", "persistent": {"size": "20Gi"}}],
    });
    let docs = system(&json!({
        "components": [web(&json!({"replicas": {"min": 2, "max": 6}, "resources": {"cpu": "250m", "memory": "1Gi"}})), store],
        "hosts": [{"host": "docs.mois.example", "component": "web"}],
    }));
    turn(&docs, &mut facts);
    settle(&mut facts);
    let (_, mut status) = turn(&docs, &mut facts);
    status.conditions.clear();
    insta::assert_yaml_snapshot!("columns", status);
}
