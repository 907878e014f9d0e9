//! What is said of price books, costs of the platform and subscriptions.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{examples, named, noon};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use maru_crds::{CostPool, RateCard, SystemSubscription};
use maru_desire::{SubscriptionFacts, report_cost_pool, report_rate_card, report_subscription};
use serde_json::{Value, json};

fn ready(conditions: &[Condition]) -> String {
    let ready = &conditions[0];
    assert_eq!((conditions.len(), ready.type_.as_str()), (1, "Ready"));
    format!("{} {}: {}", ready.status, ready.reason, ready.message)
}

#[test]
fn the_examples_are_ready_and_say_which_prices_are_in_force() {
    for card in examples::<RateCard>("RateCard") {
        let status = report_rate_card(&card, &noon());
        assert!(ready(&status.conditions).starts_with("True Consistent"), "{status:?}");
        assert_eq!(status.in_force_since.as_deref(), Some("2026-07-01T00:00:00+09:00"));
        assert!(status.items.is_some_and(|items| items > 0));
    }
    for pool in examples::<CostPool>("CostPool") {
        let said = ready(&report_cost_pool(&pool, &noon()).conditions);
        assert_eq!(
            said,
            "True Consistent: its cost can be split by the use of cpu.reserved"
        );
    }
}

#[test]
fn a_card_that_bills_cannot_be_worked_out_with_says_which_field() {
    let mut card = examples::<RateCard>("RateCard").remove(0);
    let first = card.spec.versions[0].clone();
    card.spec.versions.push(first);
    let said = ready(&report_rate_card(&card, &noon()).conditions);
    assert!(
        said.starts_with("False Inconsistent: ") && said.contains("spec.versions["),
        "{said}"
    );
}

#[test]
fn what_billing_wrote_of_a_cost_stays() {
    let mut pool = examples::<CostPool>("CostPool").remove(0);
    let status = json!({"period": "2026-06", "amount": "115000000"});
    pool.status = Some(serde_json::from_value(status).unwrap());
    let status = report_cost_pool(&pool, &noon());
    assert_eq!(
        (status.period.as_deref(), status.amount.as_deref()),
        (Some("2026-06"), Some("115000000"))
    );
    pool.status = Some(status.clone());
    assert_eq!(
        report_cost_pool(&pool, &noon()),
        status,
        "nothing changes when nothing changed"
    );
}

fn subscription(name: &str, from: &str) -> SystemSubscription {
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "SystemSubscription",
        "metadata": {"name": name, "namespace": "moel", "generation": 1},
        "spec": {"systemRef": {"namespace": "mois", "name": "docs"}, "weight": "10", "from": from},
    }))
    .unwrap()
}

/// What is said of a subscription of the ministry of labour to a system with this sharing.
fn said(sharing: &Value) -> String {
    let mut spec = json!({"external": {"location": "Daejeon"}});
    if !sharing.is_null() {
        spec["sharing"] = sharing.clone();
    }
    let system = named("docs", &spec);
    let facts = SubscriptionFacts {
        agency: Some("moel".to_owned()),
        system: Some(&system),
        older: Vec::new(),
    };
    ready(&report_subscription(&subscription("docs", "2026-03-01"), &facts, &noon()).conditions)
}

#[test]
fn a_subscription_is_ready_when_the_owner_accepts_the_agency() {
    let told = [
        ("accepted", said(&json!({"accepts": [{"agency": "moel"}]}))),
        ("everybody", said(&json!({"acceptsAll": true}))),
        ("somebody else", said(&json!({"accepts": [{"agency": "nts"}]}))),
        ("not shared", said(&Value::Null)),
    ];
    let told: Vec<String> = told.iter().map(|(case, said)| format!("{case}: {said}")).collect();
    insta::assert_snapshot!(told.join("\n"));
    let nobody = SubscriptionFacts::default();
    let lost = ready(&report_subscription(&subscription("docs", "2026-03-01"), &nobody, &noon()).conditions);
    assert!(
        lost.starts_with("False AgencyMissing: namespace moel belongs to no agency"),
        "{lost}"
    );
    let alone = SubscriptionFacts {
        agency: Some("moel".to_owned()),
        ..nobody
    };
    let lost = ready(&report_subscription(&subscription("docs", "2026-03-01"), &alone, &noon()).conditions);
    assert!(
        lost.starts_with("False SystemMissing: there is no system mois/docs"),
        "{lost}"
    );
}

#[test]
fn of_two_subscriptions_at_the_same_time_the_later_one_is_refused() {
    let system = named(
        "docs",
        &json!({"external": {"location": "Daejeon"}, "sharing": {"acceptsAll": true}}),
    );
    let first = subscription("first", "2026-03-01");
    let facts = SubscriptionFacts {
        agency: Some("moel".to_owned()),
        system: Some(&system),
        older: vec![&first],
    };
    let second = ready(&report_subscription(&subscription("second", "2026-05-01"), &facts, &noon()).conditions);
    assert!(
        second.starts_with("False Inconsistent: ") && second.contains("another subscription to mois/docs"),
        "{second}"
    );
}
