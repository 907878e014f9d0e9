//! What an administrator reads of an agency's budget, and when nothing new may begin.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{agency, agency_facts, carry_out_agency, noon, object, platform};
use maru_crds::{Agency, AgencyStatus, BudgetUse};
use maru_desire::{BLOCK_NEW_ANNOTATION, ObjectKind, blocks_new, plan_agency, report_agency};
use serde_json::{Value, json};

/// An agency with a budget of 30 million won that has spent so much of it.
fn spent(budget: &Value, spent: &Value) -> Agency {
    let mut whole = json!({"currency": "KRW", "monthlyAmount": "30000000", "alertThresholds": ["0.9", "0.5", "1.2"]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(budget.as_object().unwrap().clone());
    let mut agency = agency(
        "moel",
        &json!({"tier": "Central", "securityGrade": "Moderate", "budget": whole}),
    );
    let budget: Option<BudgetUse> = serde_json::from_value(spent.clone()).unwrap();
    agency.status = Some(AgencyStatus {
        budget,
        ..AgencyStatus::default()
    });
    agency
}

fn november(won: &str) -> Value {
    json!({"period": "2026-11", "currency": "KRW", "spent": won})
}

fn status(agency: &Agency) -> AgencyStatus {
    let platform = platform();
    let mut facts = agency_facts(&platform);
    let plan = plan_agency(agency, &facts);
    let applied = carry_out_agency(&plan, &mut facts, |_| {});
    report_agency(agency, &facts, &applied, &noon())
}

fn said(agency: &Agency) -> String {
    let status = status(agency);
    let found = |kind: &str| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind)
            .unwrap()
    };
    assert_eq!(found("Ready").status, "True", "a budget holds up no agency");
    let budget = found("WithinBudget");
    format!("{} {}: {}", budget.status, budget.reason, budget.message)
}

/// The annotation that the policy `maru-block-new` reads.
fn annotation(agency: &Agency) -> String {
    let platform = platform();
    let plan = plan_agency(agency, &agency_facts(&platform));
    let namespace = object(&plan, ObjectKind::Namespace, "moel");
    namespace["metadata"]["annotations"][BLOCK_NEW_ANNOTATION]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_condition_says_what_was_spent_of_what() {
    let warn = json!({});
    let block = json!({"onExceeded": "BlockNew"});
    let mut expected = november("16000000");
    expected["forecast"] = json!("41000000.5");
    let mut dollars = november("1");
    dollars["currency"] = json!("USD");
    let cases = [
        ("not drafted", spent(&warn, &Value::Null)),
        ("little", spent(&warn, &november("14999999.999999999"))),
        ("past half", spent(&warn, &expected)),
        ("all of it", spent(&block, &november("30000000"))),
        ("more, warned", spent(&warn, &november("30000000.000000001"))),
        ("more, blocked", spent(&block, &november("36000001"))),
        ("credits", spent(&block, &november("-5"))),
        ("other money", spent(&block, &dollars)),
    ];
    let seen: Vec<String> = cases
        .iter()
        .map(|(case, agency)| format!("{case}: {}", said(agency)))
        .collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn an_agency_without_a_budget_is_within_it() {
    let agency = agency("moel", &json!({"tier": "Central", "securityGrade": "Moderate"}));
    assert_eq!(said(&agency), "True NotApplicable: spec.budget is not set");
    assert_eq!(annotation(&agency), "");
}

#[test]
fn nothing_new_begins_past_the_amount_and_only_where_the_agency_says_so() {
    let block = json!({"onExceeded": "BlockNew"});
    assert_eq!(blocks_new(&spent(&block, &november("30000000"))), None);
    assert_eq!(blocks_new(&spent(&json!({}), &november("99000000"))), None);
    assert_eq!(annotation(&spent(&block, &november("30000000"))), "");
    let over = spent(&block, &november("30000001"));
    assert_eq!(
        annotation(&over),
        "the budget of agency moel is spent (more than KRW 30000000 in 2026-11) and it says onExceeded: BlockNew until the \
         next month, or until the platform raises spec.budget.monthlyAmount"
    );
    let raised = json!({"onExceeded": "BlockNew", "monthlyAmount": "30000001"});
    assert_eq!(annotation(&spent(&raised, &november("30000001"))), "");
}

#[test]
fn what_is_written_does_not_change_with_every_draft_of_the_bill() {
    let block = json!({"onExceeded": "BlockNew"});
    let hour = annotation(&spent(&block, &november("30000001")));
    assert_eq!(annotation(&spent(&block, &november("31000000"))), hour);
}

#[test]
fn a_budget_of_nothing_is_exceeded_by_the_first_won_and_not_before() {
    let nothing = json!({"monthlyAmount": "0", "onExceeded": "BlockNew"});
    assert_eq!(blocks_new(&spent(&nothing, &november("0"))), None);
    assert_eq!(status(&spent(&nothing, &november("0"))).alert_threshold, None);
    assert!(blocks_new(&spent(&nothing, &november("1"))).is_some());
}

#[test]
fn the_status_keeps_what_billing_wrote_and_names_the_highest_threshold_passed() {
    let threshold = |won: &str| {
        let agency = spent(&json!({}), &november(won));
        let status = status(&agency);
        assert_eq!(status.budget, agency.status.unwrap().budget);
        status.alert_threshold
    };
    assert_eq!(threshold("14999999.99"), None);
    assert_eq!(threshold("15000000").as_deref(), Some("0.5"));
    assert_eq!(threshold("27000000").as_deref(), Some("0.9"));
    assert_eq!(threshold("36000000").as_deref(), Some("1.2"));
}
