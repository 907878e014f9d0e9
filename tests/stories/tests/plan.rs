//! `kubectl maru plan` beside the operator: what was printed is what is then done, no less and no more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use clap::Parser;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams};
use maru_cli::{Cli, Problem};
use maru_controller::Settings;
use maru_crds::{Agency, AgencySystem};
use maru_stories::{
    Faults, Operator, agency, agency_ready, apply, cluster_with_kinds, eventually, is_gone, snapshot, system,
    system_ready, versions,
};
use maru_test_cluster::Cluster;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cluster with an operator, and a folder to write manifests to.
struct Scene {
    cluster: Cluster,
    client: Client,
    folder: PathBuf,
    operator: Operator,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let cluster = cluster_with_kinds().await;
        let client = cluster.client().unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let operator = Operator::start(&cluster.config(), Settings::default(), &Faults::none());
        Self {
            cluster,
            client,
            folder,
            operator,
        }
    }

    /// What `kubectl maru plan` says with these arguments of these objects, each in a file of its own.
    async fn said(&self, more: &[&str], objects: &[&Value]) -> Result<String, Problem> {
        let mut arguments = vec!["kubectl-maru".to_owned(), "plan".to_owned(), "--kubeconfig".to_owned()];
        arguments.push(self.cluster.kubeconfig().display().to_string());
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        for (index, object) in objects.iter().enumerate() {
            let file = self.folder.join(format!("{index}.yaml"));
            std::fs::write(&file, serde_saphyr::to_string(object).unwrap()).unwrap();
            arguments.extend(["-f".to_owned(), file.display().to_string()]);
        }
        let cli = Cli::parse_from(arguments);
        let printed = tokio::task::spawn_blocking(move || cli.run()).await.unwrap();
        printed.map(|printed| String::from_utf8(printed.bytes).unwrap())
    }

    async fn planned(&self, more: &[&str], objects: &[&Value]) -> Value {
        let more: Vec<&str> = more.iter().copied().chain(["-o", "json"]).collect();
        serde_json::from_str(&self.said(&more, objects).await.unwrap()).unwrap()
    }

    /// Plans, applies, waits until `settled` and until nothing is written any more, and holds the plan against what was done.
    async fn plan_and_do(&self, agency: &str, objects: &[&Value], settled: impl AsyncFnOnce()) -> Value {
        let plan = self
            .planned(&["--server-side", "--field-manager", "people"], objects)
            .await;
        let before = snapshot(&self.client, agency).await;
        for object in objects {
            apply(&self.client, object).await;
        }
        settled().await;
        self.rests().await;
        self.holds(&plan, agency, &before).await;
        let second = self
            .planned(&["--server-side", "--field-manager", "people"], objects)
            .await;
        assert_eq!(second["steps"], json!([]), "a second plan has nothing to do");
        plan
    }

    /// That what the plan says of the operator is what has changed since `before`.
    async fn holds(&self, plan: &Value, agency: &str, before: &maru_stories::Snapshot) {
        let after = snapshot(&self.client, agency).await;
        let mut done = BTreeSet::new();
        for (key, now) in &after {
            match before.get(key) {
                None => done.insert(format!("create {key}")),
                Some(then) if then != now => done.insert(format!("change {key}")),
                Some(_) => false,
            };
        }
        let deleted = before.keys().filter(|key| !after.contains_key(*key));
        done.extend(deleted.map(|key| format!("delete {key}")));
        let planned: BTreeSet<String> = steps(plan, "Operator")
            .into_iter()
            .map(|step| step.replace(agency, "AGENCY"))
            .collect();
        assert_eq!(planned, done);
    }

    async fn rests(&self) {
        let mut before = versions(&self.client).await;
        eventually("the cluster to come to rest", 60, async || {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let now = versions(&self.client).await;
            let rest = now == before;
            before = now;
            if rest {
                Ok(())
            } else {
                Err("something was written".to_owned())
            }
        })
        .await;
    }

    async fn end(self) {
        self.operator.stop().await;
        self.cluster.stop().await.unwrap();
    }
}

/// The steps of a plan that somebody takes: verb, kind, namespace and name.
fn steps(plan: &Value, by: &str) -> BTreeSet<String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    steps
        .filter(|step| step["by"] == by)
        .map(|step| {
            let text = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {}/{}",
                text("verb"),
                text("kind"),
                text("namespace"),
                text("name")
            )
        })
        .collect()
}

fn reasons(plan: &Value) -> BTreeSet<String> {
    let conditions = plan["conditions"].as_array().unwrap().iter();
    conditions
        .map(|said| said["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_plan_prints_is_what_the_operator_then_does_and_a_second_plan_has_nothing_to_do() {
    let scene = Scene::new("done").await;
    let client = &scene.client;
    // The system comes first, and its namespace is not there.
    let (mois, mut docs) = (agency("mois"), system("mois", "docs"));
    docs["spec"]["hosts"] = json!([{"host": "docs.mois.example", "component": "web"}]);
    let mut second = docs["spec"]["components"][0].clone();
    second["name"] = json!("api");
    docs["spec"]["components"].as_array_mut().unwrap().push(second);
    let ready = async || {
        agency_ready(client, "mois", 60).await;
        system_ready(client, "mois", "docs", 60).await;
    };
    let plan = scene.planned(&[], &[&docs, &mois]).await;
    assert_eq!(
        steps(&plan, "You"),
        BTreeSet::from(["create Agency /mois", "create AgencySystem mois/docs"].map(str::to_owned))
    );
    let made = scene.plan_and_do("mois", &[&mois, &docs], ready).await;
    assert_eq!(
        steps(&made, "Operator"),
        steps(&plan, "Operator"),
        "in any order of files"
    );

    // Another image, one pod more.
    docs["spec"]["components"][0]["env"] = json!([{"name": "GREETING", "value": "안녕하세요"}]);
    docs["spec"]["components"][0]["replicas"] = json!({"fixed": 2});
    let changed = scene.plan_and_do("mois", &[&docs], ready).await;
    let fields = &changed["steps"][1]["fields"];
    assert_eq!(fields[0]["field"], "spec.replicas", "{changed:#}");
    assert_eq!((&fields[0]["before"], &fields[0]["after"]), (&json!(1), &json!(2)));

    // A host and a component go.
    docs["spec"].as_object_mut().unwrap().remove("hosts");
    docs["spec"]["components"].as_array_mut().unwrap().pop();
    let swept = scene.plan_and_do("mois", &[&docs], ready).await;
    let deleted = steps(&swept, "Operator");
    for gone in [
        "delete Deployment mois/docs-api",
        "delete Ingress mois/docs.docs.mois.example",
    ] {
        assert!(deleted.contains(gone), "{deleted:#?}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_plan_to_delete_says_what_goes_and_what_stays_as_the_deletion_policy_has_it() {
    let scene = Scene::new("deletes").await;
    let client = &scene.client;
    let (mut nts, mut archive) = (agency("nts"), system("nts", "archive"));
    archive["spec"]["components"][0]["volumes"] =
        json!([{"name": "data", "mountPath": "/data", "persistent": {"size": "1Mi"}}]);
    let ready = async || {
        agency_ready(client, "nts", 60).await;
        eventually("the system to be provisioned", 60, async || {
            let found = Api::<AgencySystem>::namespaced(client.clone(), "nts")
                .get("archive")
                .await
                .unwrap();
            let status = found.status.unwrap_or_default();
            let said = serde_json::to_string(&status.conditions).unwrap();
            let current = status.observed_generation == found.metadata.generation;
            if current && said.contains("objects are stored") {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await;
    };
    scene.plan_and_do("nts", &[&nts, &archive], ready).await;
    let plan = scene.planned(&["--delete"], &[&archive]).await;
    assert!(steps(&plan, "You").contains("delete AgencySystem nts/archive"));
    let goes = steps(&plan, "Operator");
    assert!(goes.contains("delete Deployment nts/archive-web"), "{goes:#?}");
    assert!(
        !goes.iter().any(|step| step.contains("PersistentVolumeClaim")),
        "{goes:#?}"
    );

    // The agency alone lets its data go, and its system does not.
    nts["spec"]["deletionPolicy"] = json!("Delete");
    scene.plan_and_do("nts", &[&nts], ready).await;
    let plan = scene.planned(&["--delete"], &[&nts]).await;
    assert_eq!(plan["steps"], json!([]));
    assert_eq!(reasons(&plan), BTreeSet::from(["DeletionBlocked".to_owned()]));

    // Both let it go.
    archive["spec"]["deletionPolicy"] = json!("Delete");
    scene.plan_and_do("nts", &[&archive], ready).await;
    let plan = scene.planned(&["--delete"], &[&archive]).await;
    let before = snapshot(client, "nts").await;
    let systems = Api::<AgencySystem>::namespaced(client.clone(), "nts");
    systems.delete("archive", &DeleteParams::default()).await.unwrap();
    is_gone(&systems, "archive", 60).await;
    let claims = goes_with_claim(&plan);
    assert!(claims, "{plan:#}");
    eventually("what was planned to be gone", 60, async || {
        let left = snapshot(client, "nts").await;
        match left.keys().find(|key| key.contains("archive")) {
            None => Ok(()),
            Some(key) => Err(key.clone()),
        }
    })
    .await;
    scene.rests().await;
    scene.holds(&plan, "nts", &before).await;

    let plan = scene.planned(&["--delete"], &[&nts]).await;
    assert!(steps(&plan, "Operator").contains("delete Namespace /nts"), "{plan:#}");
    let agencies = Api::<Agency>::all(client.clone());
    agencies.delete("nts", &DeleteParams::default()).await.unwrap();
    is_gone(&agencies, "nts", 60).await;
    is_gone(&Api::<Namespace>::all(client.clone()), "nts", 60).await;
    scene.end().await;
}

fn goes_with_claim(plan: &Value) -> bool {
    steps(plan, "Operator")
        .iter()
        .any(|step| step.starts_with("delete PersistentVolumeClaim"))
}

#[tokio::test]
async fn what_would_be_refused_is_said_before_and_a_plan_writes_nothing() {
    let scene = Scene::new("refused").await;
    let client = &scene.client;
    let mut small = agency("mohw");
    small["spec"]["quota"]["cpu"] = json!("10m");
    let docs = system("mohw", "docs");
    let plan = scene.planned(&[], &[&docs, &small]).await;
    assert!(reasons(&plan).contains("QuotaExceeded"), "{plan:#}");
    let orphan = scene.planned(&[], &[&system("nowhere", "docs")]).await;
    assert_eq!(reasons(&orphan), BTreeSet::from(["AgencyMissing".to_owned()]));
    assert!(steps(&orphan, "Operator").is_empty());
    assert!(snapshot(client, "mohw").await.is_empty(), "nothing was written");

    // What may not change once it is there is for the API server to say: with the line, and what is allowed.
    apply(client, &agency("mohw")).await;
    agency_ready(client, "mohw", 60).await;
    let kept = |size: &str| {
        let mut kept = system("mohw", "kept");
        kept["spec"]["components"][0]["volumes"] =
            json!([{"name": "data", "mountPath": "/data", "persistent": {"size": size}}]);
        kept
    };
    apply(client, &kept("2Gi")).await;
    let problem = scene.said(&[], &[&kept("1Gi")]).await.unwrap_err().to_string();
    assert!(problem.contains("0.yaml:") && problem.contains("size"), "{problem}");
    scene.end().await;
}
