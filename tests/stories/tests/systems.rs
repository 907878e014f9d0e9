//! Agencies and systems as people give them, on a real cluster with the operator installed in it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Service};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use maru_crds::{Agency, AgencySystem};
use maru_stories::{
    Stage, agency, agency_ready, apply, delete, eventually, is_gone, ready_reason, snapshot, system, system_ready,
    uid_of,
};
use serde_json::json;

fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}

/// Something of the agency's own that must never be lost.
async fn keepsake(client: &Client, namespace: &str) -> (String, String) {
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "keepsake"}})).unwrap();
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {"name": "keepsake"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }))
    .unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let map = maps(client, namespace)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let claim = claims.create(&PostParams::default(), &claim).await.unwrap();
    (map.uid().unwrap(), claim.uid().unwrap())
}

async fn still_there(client: &Client, namespace: &str, uids: &(String, String)) {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    assert_eq!(
        maps(client, namespace).get("keepsake").await.unwrap().uid().unwrap(),
        uids.0
    );
    let claim = claims.get("keepsake").await.unwrap();
    assert_eq!(claim.uid().unwrap(), uids.1);
    assert!(
        claim.metadata.deletion_timestamp.is_none(),
        "the volume is being deleted"
    );
}

#[tokio::test]
async fn the_order_in_which_things_are_applied_does_not_matter() {
    let client = Stage::shared().await.client();
    apply(&client, &agency("order-first")).await;
    apply(&client, &system("order-first", "docs")).await;
    system_ready(&client, "order-first", "docs", 60).await;

    // The namespace and the system are there before the agency is, and the agency first has no room for it.
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({
        "metadata": {"name": "order-later", "labels": {"maru.dev/agency": "order-later"}},
    }));
    namespaces
        .create(&PostParams::default(), &namespace.unwrap())
        .await
        .unwrap();
    apply(&client, &system("order-later", "docs")).await;
    eventually(
        "the system to say that its agency is missing",
        10,
        async || match ready_reason(&client, "order-later", "docs").await.as_str() {
            "AgencyMissing" => Ok(()),
            other => Err(other.to_owned()),
        },
    )
    .await;
    let mut small = agency("order-later");
    small["spec"]["quota"]["cpu"] = json!("10m");
    apply(&client, &small).await;
    eventually(
        "the system to be refused for want of quota",
        20,
        async || match ready_reason(&client, "order-later", "docs").await.as_str() {
            "PodsRefused" | "QuotaExceeded" => Ok(()),
            other => Err(other.to_owned()),
        },
    )
    .await;
    apply(&client, &agency("order-later")).await;
    system_ready(&client, "order-later", "docs", 60).await;
    agency_ready(&client, "order-later", 10).await;
    let first = snapshot(&client, "order-first").await;
    eventually("both agencies to have the same", 10, async || {
        let later = snapshot(&client, "order-later").await;
        let differs = first.iter().find(|(key, value)| later.get(*key) != Some(value));
        match differs {
            None if first.len() == later.len() => Ok(()),
            _ => Err(format!("{differs:?}\n{later:#?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn what_somebody_edits_or_deletes_is_put_right_within_a_second_and_counted() {
    let stage = Stage::shared().await;
    let client = stage.client();
    apply(&client, &agency("drift")).await;
    apply(&client, &system("drift", "docs")).await;
    system_ready(&client, "drift", "docs", 60).await;

    let before = stage.metric("maru_drift_healed_total{kind=\"Deployment\"}").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "drift");
    let name = deployments.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let edit =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "example.com/other:1"}]}}}});
    deployments
        .patch(&name, &PatchParams::default(), &Patch::Strategic(edit))
        .await
        .unwrap();
    eventually("the image to be put right", 1, async || {
        let deployment = deployments.get(&name).await.unwrap();
        let image = deployment.spec.template.spec.unwrap().containers[0]
            .image
            .clone()
            .unwrap();
        if image == maru_stories::HELLO {
            Ok(())
        } else {
            Err(image)
        }
    })
    .await;
    let healed = async |count: u64| {
        eventually("it to be counted", 5, async || {
            match stage.metric("maru_drift_healed_total{kind=\"Deployment\"}").await - before {
                counted if counted >= count => Ok(()),
                counted => Err(format!("{counted} counted")),
            }
        })
        .await;
    };
    healed(1).await;
    delete(&deployments, &name).await;
    let uid = eventually("the Deployment to be made anew", 1, async || {
        let found = deployments.get_opt(&name).await.unwrap();
        found
            .filter(|found| found.metadata.deletion_timestamp.is_none())
            .and_then(|found| found.uid())
            .ok_or_else(String::new)
    })
    .await;
    assert!(!uid.is_empty());
    healed(2).await;

    let services: Api<Service> = Api::namespaced(client.clone(), "drift");
    let name = services.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let edit = json!({"metadata": {"labels": {"maru.dev/component": "other"}}});
    services
        .patch(&name, &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    eventually("the label to be put right", 1, async || {
        let label = services.get(&name).await.unwrap().labels()["maru.dev/component"].clone();
        if label == "web" { Ok(()) } else { Err(label) }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_longer_wanted_goes_and_what_is_the_agencys_own_stays() {
    let client = Stage::shared().await.client();
    apply(&client, &agency("sweep")).await;
    let mut two = system("sweep", "docs");
    let mut second = two["spec"]["components"][0].clone();
    second["name"] = json!("api");
    two["spec"]["components"].as_array_mut().unwrap().push(second);
    apply(&client, &two).await;
    system_ready(&client, "sweep", "docs", 60).await;
    let keepsake = keepsake(&client, "sweep").await;

    apply(&client, &system("sweep", "docs")).await;
    eventually("the second component to go", 10, async || {
        let left = snapshot(&client, "sweep").await;
        match left
            .iter()
            .find(|(_, object)| object["metadata"]["labels"]["maru.dev/component"] == "api")
        {
            None => Ok(()),
            Some((key, _)) => Err(key.clone()),
        }
    })
    .await;
    system_ready(&client, "sweep", "docs", 60).await;

    let systems: Api<AgencySystem> = Api::namespaced(client.clone(), "sweep");
    delete(&systems, "docs").await;
    is_gone(&systems, "docs", 20).await;
    let left = snapshot(&client, "sweep").await;
    let of_system = left
        .iter()
        .find(|(_, object)| object["metadata"]["labels"]["maru.dev/system"] == "docs");
    assert!(of_system.is_none(), "{of_system:?}");
    still_there(&client, "sweep", &keepsake).await;
}

#[tokio::test]
async fn a_namespace_is_adopted_by_its_label_and_never_owned_by_reference() {
    let client = Stage::shared().await.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let unlabelled: Namespace = serde_json::from_value(json!({"metadata": {"name": "adopted"}})).unwrap();
    let made = namespaces.create(&PostParams::default(), &unlabelled).await.unwrap();
    apply(&client, &agency("adopted")).await;
    let agencies: Api<Agency> = Api::all(client.clone());
    eventually(
        "the agency to say that nobody handed the namespace over",
        10,
        async || {
            let status = agencies.get("adopted").await.unwrap().status.unwrap_or_default();
            let said = serde_json::to_string(&status.conditions).unwrap();
            if said.contains("NamespaceNotAdopted") && said.contains("kubectl label namespace adopted") {
                Ok(())
            } else {
                Err(said)
            }
        },
    )
    .await;
    assert!(
        snapshot(&client, "adopted").await.is_empty(),
        "nothing is written in a stranger's namespace"
    );

    let label = json!({"metadata": {"labels": {"maru.dev/agency": "adopted"}}});
    namespaces
        .patch("adopted", &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    let ready = agency_ready(&client, "adopted", 10).await;
    assert_eq!(ready.status.unwrap().namespaces[0].uid, made.uid().unwrap());
    let adopted = namespaces.get("adopted").await.unwrap();
    assert_eq!(adopted.labels()["pod-security.kubernetes.io/enforce"], "restricted");
    assert!(adopted.owner_references().is_empty());
}

#[tokio::test]
async fn an_agency_that_retains_leaves_its_namespace_its_volumes_and_what_is_in_it() {
    let client = Stage::shared().await.client();
    apply(&client, &agency("retains")).await;
    agency_ready(&client, "retains", 20).await;
    let keepsake = keepsake(&client, "retains").await;
    let uid = uid_of(&client, "retains").await;
    let agencies: Api<Agency> = Api::all(client.clone());
    delete(&agencies, "retains").await;
    is_gone(&agencies, "retains", 20).await;
    assert_eq!(uid_of(&client, "retains").await, uid);
    still_there(&client, "retains", &keepsake).await;
    // And back again, with everything still in it.
    apply(&client, &agency("retains")).await;
    let back = agency_ready(&client, "retains", 20).await;
    assert_eq!(Some(&back.status.unwrap().namespaces[0].uid), uid.as_ref());
    still_there(&client, "retains", &keepsake).await;
}

#[tokio::test]
async fn an_agency_that_said_delete_before_takes_its_namespaces_with_it_and_waits_for_what_must_be_kept() {
    let client = Stage::shared().await.client();
    let mut wanted = agency("deletes");
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    apply(&client, &wanted).await;
    agency_ready(&client, "deletes", 20).await;
    keepsake(&client, "deletes").await;
    let agencies: Api<Agency> = Api::all(client.clone());
    delete(&agencies, "deletes").await;
    eventually("the agency to say what is kept", 10, async || {
        let status = agencies.get("deletes").await.unwrap().status.unwrap_or_default();
        let said = serde_json::to_string(&status.conditions).unwrap();
        if said.contains("PersistentVolumeClaim deletes/keepsake") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    assert!(uid_of(&client, "deletes").await.is_some());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "deletes");
    delete(&claims, "keepsake").await;
    is_gone(&agencies, "deletes", 60).await;
    is_gone(&Api::<Namespace>::all(client.clone()), "deletes", 30).await;
}

#[tokio::test]
async fn a_namespace_that_somebody_deletes_is_made_anew_and_filled() {
    let client = Stage::shared().await.client();
    apply(&client, &agency("remade")).await;
    apply(&client, &system("remade", "docs")).await;
    system_ready(&client, "remade", "docs", 60).await;
    let before = snapshot(&client, "remade").await;
    let uid = uid_of(&client, "remade").await;
    delete(&Api::<Namespace>::all(client.clone()), "remade").await;
    eventually("the namespace to be made anew", 60, async || {
        match uid_of(&client, "remade").await {
            now if now.is_some() && now != uid => Ok(()),
            now => Err(format!("{now:?}")),
        }
    })
    .await;
    agency_ready(&client, "remade", 30).await;
    // The system was in the namespace and went with it; people apply it again.
    apply(&client, &system("remade", "docs")).await;
    system_ready(&client, "remade", "docs", 60).await;
    assert_eq!(snapshot(&client, "remade").await, before);
}

#[tokio::test]
async fn a_system_answers_on_its_port_and_is_replaced_when_its_pod_is_killed() {
    let stage = Stage::shared().await;
    if !stage.cluster.has_real_node() {
        eprintln!("skipped: there is no node here that runs real containers");
        return;
    }
    let client = stage.client();
    apply(&client, &agency("answers")).await;
    apply(&client, &system("answers", "docs")).await;
    system_ready(&client, "answers", "docs", 60).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "answers");
    let first = pods.list(&ListParams::default()).await.unwrap().items.remove(0);
    let greeting = get(&address(&first)).await;
    assert!(greeting.starts_with("HTTP/1.1 200"), "{greeting}");

    pods.delete(&first.name_any(), &kube::api::DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    let second = eventually("another pod to be ready", 60, async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        let ready = found.into_iter().find(|pod| pod.uid() != first.uid() && is_ready(pod));
        ready.ok_or_else(|| "no other pod is ready".to_owned())
    })
    .await;
    let greeting = get(&address(&second)).await;
    assert!(greeting.starts_with("HTTP/1.1 200"), "{greeting}");
    system_ready(&client, "answers", "docs", 20).await;
}

fn address(pod: &Pod) -> String {
    let status = pod.status.as_ref().unwrap();
    format!("{}:8080", status.pod_ip.as_ref().unwrap())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == "True")
}

/// A pod is ready when its container runs; the program in it may listen a moment later.
async fn get(address: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    eventually("the pod to answer", 20, async || {
        let ask = async {
            let mut stream = tokio::net::TcpStream::connect(address).await?;
            let request = b"GET / HTTP/1.1\r\nHost: docs\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        ask.await.map_err(|error| error.to_string())
    })
    .await
}

#[tokio::test]
async fn every_example_answers_ready() {
    let client = Stage::shared().await.client();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut objects: Vec<serde_json::Value> = Vec::new();
    for file in files {
        objects
            .extend(serde_saphyr::from_multiple::<serde_json::Value>(&std::fs::read_to_string(file).unwrap()).unwrap());
    }
    objects.retain(|object| ["Agency", "AgencySystem"].iter().any(|kind| object["kind"] == *kind));
    objects.sort_by_key(|object| object["kind"] != "Agency");
    for object in &objects {
        apply(&client, object).await;
    }
    // What the tax service runs already, for the example that finds it by its labels.
    let running: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "hometax"},
        "spec": {
            "selector": {"matchLabels": {"app": "hometax"}},
            "template": {
                "metadata": {"labels": {"app": "hometax", "app.kubernetes.io/part-of": "hometax"}},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "hometax", "image": maru_stories::HELLO, "imagePullPolicy": "IfNotPresent",
                        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    }],
                },
            },
        },
    }))
    .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "nts");
    deployments.create(&PostParams::default(), &running).await.unwrap();
    let mut systems = 0;
    for object in &objects {
        let name = object["metadata"]["name"].as_str().unwrap();
        if object["kind"] == "Agency" {
            agency_ready(&client, name, 60).await;
        } else {
            system_ready(&client, object["metadata"]["namespace"].as_str().unwrap(), name, 90).await;
            systems += 1;
        }
    }
    assert!(systems >= 3, "{systems} examples of systems");
}

/// A system that keeps something on a volume.
fn archive(namespace: &str, policy: &str) -> serde_json::Value {
    let mut archive = system(namespace, "archive");
    archive["spec"]["deletionPolicy"] = json!(policy);
    archive["spec"]["components"][0]["volumes"] =
        json!([{"name": "data", "mountPath": "/data", "persistent": {"size": "1Mi"}}]);
    archive
}

#[tokio::test]
async fn a_volume_outlives_its_system_unless_the_system_said_delete_before_it_was_deleted() {
    let client = Stage::shared().await.client();
    apply(&client, &agency("volumes")).await;
    apply(&client, &archive("volumes", "Retain")).await;
    system_ready(&client, "volumes", "archive", 60).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "volumes");
    let uid = claims.list(&ListParams::default()).await.unwrap().items[0].uid();
    let systems: Api<AgencySystem> = Api::namespaced(client.clone(), "volumes");
    delete(&systems, "archive").await;
    is_gone(&systems, "archive", 30).await;
    let left = claims.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].uid(), uid);
    assert!(left[0].metadata.deletion_timestamp.is_none());

    // Asked for again, it finds its volume; and then it says that its data goes with it.
    apply(&client, &archive("volumes", "Delete")).await;
    system_ready(&client, "volumes", "archive", 60).await;
    assert_eq!(claims.list(&ListParams::default()).await.unwrap().items[0].uid(), uid);
    delete(&systems, "archive").await;
    is_gone(&systems, "archive", 60).await;
    eventually("the volume to go", 30, async || {
        let left = claims.list(&ListParams::default()).await.unwrap().items;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{:?}", left[0].metadata))
        }
    })
    .await;
}
