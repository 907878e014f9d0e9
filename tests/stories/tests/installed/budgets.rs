//! A budget that is spent, of an agency that wants nothing new to begin then.

use crate::stage::{Installed, create, patch, patch_status, refused, remove, scale, with_people};
use crate::tenants::{deployment, pod};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::{Client, Error};
use maru_crds::{Agency, AgencySystem};
use maru_stories::{agency_ready, apply, eventually, ready_reason, system, system_ready, told};
use serde_json::{Value, json};

fn green(amount: &str) -> Value {
    let mut green = with_people("green");
    green["spec"]["budget"] = json!({
        "currency": "KRW", "monthlyAmount": amount, "alertThresholds": ["0.8"], "onExceeded": "BlockNew",
    });
    green
}

/// What billing writes with each draft of the month's bill.
async fn spent(client: &Client, won: &str) {
    let status = json!({"budget": {"period": "2026-11", "currency": "KRW", "spent": won}});
    let green =
        json!({"apiVersion": "maru.dev/v1alpha1", "kind": "Agency", "metadata": {"name": "green"}, "status": status});
    patch_status(client, &green).await.unwrap();
}

/// Waits until the agency says this of its budget, and gives its message.
async fn budget_says(client: &Client, wanted: &str) -> String {
    let agencies: Api<Agency> = Api::all(client.clone());
    eventually(&format!("the budget to be {wanted}"), 30, async || {
        let status = agencies.get("green").await.unwrap().status.unwrap_or_default();
        let said = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == "WithinBudget");
        let said = said.ok_or_else(String::new)?;
        if said.reason == wanted {
            Ok(said.message)
        } else {
            Err(format!("{}: {}", said.reason, said.message))
        }
    })
    .await
}

/// Tries again as long as it is refused: the API server's policies hear of a namespace's annotation a moment later than we do.
async fn allowed(what: &str, mut again: impl AsyncFnMut() -> Result<(), Error>) {
    eventually(what, 20, async || again().await.map_err(|error| error.to_string())).await;
}

async fn told_of_green(client: &Client) -> Vec<String> {
    let events = told(client, "green").await.into_iter();
    events
        .map(|event| [event.type_, event.reason].map(Option::unwrap_or_default).join(" "))
        .collect()
}

/// What runs when the budget is spent, and what rests.
async fn before(platform: &Client, admin: &Client) {
    apply(platform, &green("30000000")).await;
    agency_ready(platform, "green", 60).await;
    apply(platform, &system("green", "docs")).await;
    system_ready(platform, "green", "docs", 60).await;
    for (name, replicas) in [("own", 2), ("resting", 0)] {
        create(admin, &deployment("green", name, replicas)).await.unwrap();
    }
    assert_eq!(
        budget_says(platform, "NotBilledYet").await,
        "no bill of this agency was drafted yet"
    );
}

/// What is refused while nothing may begin, each once it is refused at all.
async fn nothing_begins(admin: &Client) -> Vec<String> {
    let mut refusals = Vec::new();
    eventually("a system to be refused", 20, async || {
        match create(admin, &system("green", "late")).await {
            Ok(()) => {
                remove(admin, &system("green", "late")).await.unwrap();
                Err("it was taken".to_owned())
            }
            refusal => {
                refusals.push(refused("a system", refusal));
                Ok(())
            }
        }
    })
    .await;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "late", "namespace": "green"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    for (case, answer) in [
        ("a Deployment", create(admin, &deployment("green", "late", 1)).await),
        ("a pod", create(admin, &pod("green", "late", &json!({}))).await),
        ("a volume", create(admin, &claim).await),
        (
            "one that rests, scaled up",
            scale(admin, &deployment("green", "resting", 0), 1).await,
        ),
        (
            "the same, by an edit",
            patch(admin, &deployment("green", "resting", 1)).await,
        ),
    ] {
        refusals.push(refused(case, answer));
    }
    refusals
}

/// What runs is healed, and may be less or, as its autoscaler may make it, more; a component that is new waits.
async fn what_runs_goes_on(platform: &Client, admin: &Client) {
    agency_ready(platform, "green", 10).await;
    system_ready(platform, "green", "docs", 10).await;
    for replicas in [1, 3] {
        scale(admin, &deployment("green", "own", 2), replicas).await.unwrap();
    }
    let deployments: Api<Deployment> = Api::namespaced(platform.clone(), "green");
    remove(platform, &deployment("green", "docs-web", 1)).await.unwrap();
    eventually("Maru's Deployment to be made anew", 20, async || {
        let found = deployments.get_opt("docs-web").await.unwrap();
        found
            .filter(|found| found.metadata.deletion_timestamp.is_none())
            .map(drop)
            .ok_or_else(String::new)
    })
    .await;
    // A component that is added to a system that runs waits, and the system says for what.
    let mut more = system("green", "docs");
    let mut second = more["spec"]["components"][0].clone();
    second["name"] = json!("second");
    more["spec"]["components"].as_array_mut().unwrap().push(second);
    apply(platform, &more).await;
    eventually("the second component to wait", 20, async || {
        match ready_reason(platform, "green", "docs").await.as_str() {
            "BudgetExceeded" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    assert!(deployments.get_opt("docs-second").await.unwrap().is_none());
}

#[tokio::test]
async fn when_the_budget_is_spent_nothing_new_begins_what_runs_goes_on_and_a_higher_budget_opens_it_again() {
    let stage = Installed::shared().await;
    let (platform, admin) = (stage.platform(), stage.person("green-admin"));
    before(&platform, &admin).await;
    spent(&platform, "25000000").await;
    let alert = budget_says(&platform, "BudgetAlert").await;
    assert_eq!(
        alert,
        "KRW 25000000 of 30000000 spent in 2026-11; past the alert threshold 0.8"
    );

    spent(&platform, "30000001").await;
    let message = budget_says(&platform, "BudgetExceeded").await;
    assert!(
        message.starts_with("KRW 30000001 of 30000000 spent in 2026-11; what runs goes on"),
        "{message}"
    );
    for refusal in nothing_begins(&admin).await {
        assert!(
            refusal.contains(
                "nothing new begins in this namespace: the budget of agency green is spent (more than KRW 30000000 in 2026-11) and it \
                 says onExceeded: BlockNew until the next month, or until the platform raises spec.budget.monthlyAmount; what runs goes on"
            ),
            "{refusal}"
        );
    }
    what_runs_goes_on(&platform, &admin).await;
    let deployments: Api<Deployment> = Api::namespaced(platform.clone(), "green");
    apply(&platform, &green("40000000")).await;
    budget_says(&platform, "WithinBudget").await;
    system_ready(&platform, "green", "docs", 60).await;
    assert!(deployments.get_opt("docs-second").await.unwrap().is_some());
    allowed("a new system to be taken", async || {
        create(&admin, &system("green", "late")).await
    })
    .await;
    system_ready(&platform, "green", "late", 60).await;
    allowed("one that rests to begin", async || {
        scale(&admin, &deployment("green", "resting", 0), 1).await
    })
    .await;
    let systems: Api<AgencySystem> = Api::namespaced(platform.clone(), "green");
    assert_eq!(systems.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let mut told = told_of_green(&platform).await;
    told.sort();
    assert_eq!(
        told,
        ["Normal WithinBudget", "Warning BudgetAlert", "Warning BudgetExceeded"]
    );
}

#[tokio::test]
async fn an_agencys_people_cannot_write_what_it_has_spent() {
    let stage = Installed::shared().await;
    let status = json!({"budget": {"period": "2026-11", "currency": "KRW", "spent": "0"}});
    let red =
        json!({"apiVersion": "maru.dev/v1alpha1", "kind": "Agency", "metadata": {"name": "red"}, "status": status});
    for person in ["red-admin", "red-careless", "red-reader"] {
        let told = refused(person, patch_status(&stage.person(person), &red).await);
        assert!(told.contains("cannot patch resource \"agencies/status\""), "{told}");
    }
}
