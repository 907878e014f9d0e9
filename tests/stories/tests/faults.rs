//! Trouble between the operator and the API server, in an order that a seed decides: the end is the same as without.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use maru_controller::Settings;
use maru_crds::{Agency, AgencySystem};
use maru_stories::data::{condition, dataset, put};
use maru_stories::{
    Fault, Faults, Operator, Snapshot, agency, agency_ready, among_crashes, apply, cluster_with_kinds, delete,
    eventually, is_gone, snapshot, system, system_ready, uid_of,
};
use maru_test_cluster::Cluster;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Each seed is another order of trouble.
const SEEDS: [u64; 4] = [1, 7, 42, 2026];

/// What people do: an agency with three systems, one of which they change, and one of which they delete; and another agency that
/// they delete, whose namespace stays with what is in it.
async fn play(client: &Client, name: &str) {
    let leaving = format!("{name}-leaving");
    apply(client, &agency(name)).await;
    apply(client, &agency(&leaving)).await;
    for one in ["docs", "mail", "old"] {
        apply(client, &system(name, one)).await;
    }
    apply(client, &system(&leaving, "docs")).await;
    keepsake(client, name).await;
    keepsake(client, &leaving).await;
    let mut mail = system(name, "mail");
    mail["spec"]["components"][0]["env"] = json!([{"name": "GREETING", "value": "안녕하세요"}]);
    apply(client, &mail).await;
    delete(&Api::<AgencySystem>::namespaced(client.clone(), name), "old").await;
    delete(&Api::<Agency>::all(client.clone()), &leaving).await;
    let mut more = agency(name);
    more["spec"]["quota"]["pods"] = json!(60);
    apply(client, &more).await;
}

async fn keepsake(client: &Client, namespace: &str) {
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "keepsake"}})).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.create(&PostParams::default(), &map).await.unwrap();
}

/// Waits until all of it is so. The API server may be slow to be asked, for the operator is in trouble.
async fn ends_well(client: &Client, name: &str) {
    let leaving = format!("{name}-leaving");
    is_gone(&Api::<AgencySystem>::namespaced(client.clone(), name), "old", 60).await;
    is_gone(&Api::<Agency>::all(client.clone()), &leaving, 60).await;
    agency_ready(client, name, 60).await;
    for one in ["docs", "mail"] {
        system_ready(client, name, one, 60).await;
    }
}

#[tokio::test]
async fn whatever_goes_wrong_in_between_the_end_is_the_same_and_then_nothing_more_is_written() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let expected = told_without_trouble(&cluster, &client).await;
    let mut happened: BTreeMap<Fault, u32> = BTreeMap::new();
    for seed in SEEDS {
        let name = format!("seed{seed}");
        let faults = Faults::seeded(seed);
        let leaving = format!("{name}-leaving");
        let mut kept = None;
        let story = async {
            play(&client, &name).await;
            kept = Some((uid_of(&client, &name).await, uid_of(&client, &leaving).await));
            // Trouble goes on while it is put right, and then there is none.
            tokio::time::sleep(Duration::from_secs(3)).await;
            faults.calm();
            ends_well(&client, &name).await;
        };
        let (operator, crashes) = among_crashes(&cluster, &faults, story).await;
        eventually(&format!("seed {seed} to end as without trouble"), 30, async || {
            differs(&expected, &snapshot(&client, &name).await)
        })
        .await;
        let (uid, uid_leaving) = kept.unwrap();
        assert!(uid.is_some() && uid_leaving.is_some());
        assert_eq!(uid_of(&client, &name).await, uid, "seed {seed}");
        assert_eq!(uid_of(&client, &leaving).await, uid_leaving, "seed {seed}");
        for namespace in [&name, &leaving] {
            let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            assert!(
                maps.get_opt("keepsake").await.unwrap().is_some(),
                "seed {seed}: {namespace}"
            );
        }
        rests(&faults, seed).await;
        operator.stop().await;
        eprintln!("seed {seed}: {crashes} crashes, {:?}", faults.happened());
        for (fault, count) in faults.happened() {
            *happened.entry(fault).or_default() += count;
        }
    }
    assert_eq!(happened.len(), 8, "every kind of trouble was made: {happened:?}");
    let namespaces = Api::<Namespace>::all(client.clone())
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    assert!(
        namespaces
            .iter()
            .all(|namespace| namespace.owner_references().is_empty())
    );
    cluster.stop().await.unwrap();
}

async fn told_without_trouble(cluster: &Cluster, client: &Client) -> Snapshot {
    let faults = Faults::none();
    let operator = Operator::start(&cluster.config(), Settings::default(), &faults);
    play(client, "calm").await;
    ends_well(client, "calm").await;
    rests(&faults, 0).await;
    let expected = snapshot(client, "calm").await;
    operator.stop().await;
    expected
}

/// Figures of use settle for some seconds; then there is nothing to write any more.
async fn rests(faults: &Faults, seed: u64) {
    eventually(&format!("seed {seed} to come to rest"), 40, async || {
        faults.take_writes();
        tokio::time::sleep(Duration::from_secs(4)).await;
        let writes = faults.take_writes();
        if writes.is_empty() {
            Ok(())
        } else {
            Err(format!("{writes:?}"))
        }
    })
    .await;
}

fn differs(expected: &Snapshot, now: &Snapshot) -> Result<(), String> {
    let missing = expected.iter().find(|(key, value)| now.get(*key) != Some(value));
    let more = now.keys().find(|key| !expected.contains_key(*key));
    match (missing, more) {
        (None, None) => Ok(()),
        (Some((key, value)), _) => Err(format!("{key} should be {value} and is {:?}", now.get(key))),
        (None, Some(more)) => Err(format!("{more} should not be there")),
    }
}

/// The one value of a metric whose labels hold these words.
fn counted(operator: &Operator, name: &str, words: &[&str]) -> u64 {
    let page = operator.metrics.encode();
    let lines = page.lines().filter(|line| line.starts_with(name));
    let found = lines.filter(|line| words.iter().all(|word| line.contains(word)));
    found
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// An agency that lets its data go and another one, with systems.
async fn two_agencies(client: &Client) {
    let mut ghost = agency("ghost");
    ghost["spec"]["deletionPolicy"] = json!("Delete");
    for agency in [&ghost, &agency("stays")] {
        apply(client, agency).await;
        agency_ready(client, agency["metadata"]["name"].as_str().unwrap(), 60).await;
    }
    for (namespace, name) in [("ghost", "docs"), ("stays", "docs"), ("stays", "gone")] {
        apply(client, &system(namespace, name)).await;
        system_ready(client, namespace, name, 60).await;
    }
}

/// The first agency goes, and a system of the other one.
async fn one_goes(client: &Client) {
    for (namespace, name) in [("stays", "gone"), ("ghost", "docs")] {
        let systems = Api::<AgencySystem>::namespaced(client.clone(), namespace);
        delete(&systems, name).await;
        is_gone(&systems, name, 60).await;
    }
    let agencies: Api<Agency> = Api::all(client.clone());
    delete(&agencies, "ghost").await;
    is_gone(&agencies, "ghost", 60).await;
    is_gone(&Api::<Namespace>::all(client.clone()), "ghost", 60).await;
}

async fn leads(operator: &Operator) {
    eventually("the operator to lead", 30, async || {
        if operator.metric("maru_leader") == 1 {
            Ok(())
        } else {
            Err("it does not".to_owned())
        }
    })
    .await;
}

#[tokio::test]
async fn an_agency_that_is_gone_does_not_come_back_because_a_list_was_old() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let faults = Faults::none();
    let first = Operator::start(&cluster.config(), Settings::default(), &faults);
    two_agencies(&client).await;
    first.stop().await;

    // The lists of the next one are kept, and then some of what they name goes.
    faults.keep_lists_anew();
    let second = Operator::start(&cluster.config(), Settings::default(), &faults);
    leads(&second).await;
    one_goes(&client).await;
    rests(&faults, 0).await;
    second.stop().await;
    let left = snapshot(&client, "stays").await;

    // The third one hears of agencies and systems as they were, and of everything else as it is.
    faults.stay_behind(&["agencies", "agencysystems"]);
    let third = Operator::start(&cluster.config(), Settings::default(), &faults);
    eventually("every agency and system to have had its turn", 30, async || {
        let turns = counted(&third, "maru_reconciles_total", &[]);
        if turns >= 5 {
            Ok(())
        } else {
            Err(format!("{turns} turns"))
        }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lists = faults.happened().get(&Fault::StaysBehind).copied();
    assert!(lists >= Some(2), "every list of both kinds was old: {lists:?}");
    // How many systems the other agency has is said as it is known, until the news comes. Where a list was taken while something was going, its
    // finalizer is tried to be taken off: that names the version it had, so it is refused of what is gone, and makes nothing.
    let may_be_tried = [
        "/agencies/stays/status",
        "/agencies/ghost",
        "/namespaces/ghost/agencysystems/docs",
        "/namespaces/stays/agencysystems/gone",
    ];
    let mut writes = faults.take_writes();
    writes.retain(|write| !may_be_tried.iter().any(|object| write.ends_with(object)));
    assert_eq!(writes, [""; 0], "nothing is written for what is gone");
    faults.calm();
    rests(&faults, 0).await;
    assert_eq!(uid_of(&client, "ghost").await, None);
    assert_eq!(snapshot(&client, "stays").await, left);
    let stays = Api::<Agency>::all(client.clone()).get("stays").await.unwrap();
    assert_eq!(stays.status.unwrap().systems, Some(1));
    third.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_heard_of_before_its_namespace_is_not_said_to_be_of_no_agency() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let faults = Faults::none();
    // Its lists are from before there is an agency.
    let first = Operator::start(&cluster.config(), Settings::default(), &faults);
    leads(&first).await;
    apply(&client, &agency("nts")).await;
    agency_ready(&client, "nts", 60).await;
    first.stop().await;
    apply(&client, &system("nts", "registry")).await;
    put(&client, &dataset()).await;

    faults.stay_behind(&["agencies", "namespaces"]);
    faults.take_writes();
    let second = Operator::start(&cluster.config(), Settings::default(), &faults);
    eventually("the system and the dataset to have had turns", 30, async || {
        let turns = ["AgencySystem", "Dataset"].map(|kind| counted(&second, "maru_reconciles_total", &[kind]));
        if turns.iter().all(|turns| *turns >= 2) {
            Ok(())
        } else {
            Err(format!("{turns:?} turns"))
        }
    })
    .await;
    assert_eq!(
        faults.take_writes(),
        [""; 0],
        "whose they are is not known, so nothing is said"
    );
    faults.calm();
    system_ready(&client, "nts", "registry", 30).await;
    condition(&client, &dataset(), "Ready", "False", "ServerMissing").await;
    second.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_gets_an_answer_holds_up_nobody_else_and_is_tried_again() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let faults = Faults::none();
    // One worker: were it held up, nobody would have a turn.
    let settings = Settings {
        workers: 1,
        turn_timeout: Duration::from_secs(1),
        ..Settings::default()
    };
    let operator = Operator::start(&cluster.config(), settings, &faults);
    for name in ["held-up", "others"] {
        apply(&client, &agency(name)).await;
        agency_ready(&client, name, 60).await;
    }
    faults.hang("/namespaces/held-up/");
    apply(&client, &system("held-up", "docs")).await;
    let timed_out = async |times: u64| {
        eventually("the turn to be given up and counted", 30, async || {
            match counted(&operator, "maru_reconciles_total", &["AgencySystem", "TimedOut"]) {
                count if count >= times => Ok(()),
                count => Err(format!("{count} times")),
            }
        })
        .await;
    };
    timed_out(1).await;
    apply(&client, &system("others", "docs")).await;
    system_ready(&client, "others", "docs", 30).await;
    timed_out(2).await;
    faults.calm();
    system_ready(&client, "held-up", "docs", 30).await;
    operator.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_becomes_ready_at_once_is_said_once_and_an_edit_is_one_write_and_its_status() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let faults = Faults::none();
    let operator = Operator::start(&cluster.config(), Settings::default(), &faults);
    apply(&client, &agency("mois")).await;
    // At rest, that is without pods.
    let mut docs = system("mois", "docs");
    docs["spec"]["suspended"] = json!(true);
    apply(&client, &docs).await;
    system_ready(&client, "mois", "docs", 60).await;
    let writes = faults.take_writes();
    let ready = system_ready(&client, "mois", "docs", 60).await;
    rests(&faults, 0).await;
    let statuses = writes
        .iter()
        .filter(|write| write.ends_with("/agencysystems/docs/status"));
    // A busy machine may need longer than the moment for which what passes by itself is kept back.
    assert!(statuses.count() <= 2, "{writes:#?}");

    docs["spec"]["components"][0]["env"] = json!([{"name": "GREETING", "value": "안녕하세요"}]);
    apply(&client, &docs).await;
    let edited = eventually("the edit to be carried out and said", 30, async || {
        let now = system_ready(&client, "mois", "docs", 30).await;
        if now.metadata.generation > ready.metadata.generation {
            Ok(now)
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    let mut writes = faults.take_writes();
    writes.dedup();
    let expected = [
        "PATCH /apis/apps/v1/namespaces/mois/deployments/docs-web",
        "PUT /apis/maru.dev/v1alpha1/namespaces/mois/agencysystems/docs/status",
    ];
    assert_eq!(writes, expected, "{:?}", edited.status);
    operator.stop().await;
    cluster.stop().await.unwrap();
}
