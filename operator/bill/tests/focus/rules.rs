//! The rules that the specification of FOCUS 1.4 has for the columns of its tables, as far as they speak of what a bill can say.

use std::collections::{BTreeMap, BTreeSet};

use maru_bill::{Focus, FocusDataset, FocusVersion};
use maru_meter::Exact;

use super::{exact, records, year};

/// Columns that every row has a value in.
const COST_AND_USAGE: [&str; 19] = [
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCurrency",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
];
/// Columns that are there and may be empty.
const COST_AND_USAGE_NULLABLE: [&str; 29] = [
    "AllocatedMethodDetails",
    "AllocatedMethodId",
    "AllocatedResourceId",
    "AllocatedResourceName",
    "AllocatedTags",
    "BillingAccountName",
    "BillingAccountType",
    "ChargeClass",
    "ChargeDescription",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "InvoiceDetailId",
    "InvoiceId",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "x_Completeness",
];
const INVOICE_DETAIL: [&str; 17] = [
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "InvoiceDetailCreated",
    "InvoiceDetailGrain",
    "InvoiceDetailId",
    "InvoiceDetailLastUpdated",
    "InvoiceId",
    "InvoiceIssueStatus",
    "InvoiceIssuerName",
    "PaymentCurrency",
    "PaymentCurrencyBilledCost",
    "PaymentTerms",
    "ReferenceInvoiceId",
];
const INVOICE_DETAIL_NULLABLE: [&str; 3] = ["InvoiceDetailDescription", "InvoiceIssueDate", "PaymentDueDate"];
const BILLING_PERIOD: [&str; 6] = [
    "BillingPeriodCreated",
    "BillingPeriodEnd",
    "BillingPeriodLastUpdated",
    "BillingPeriodStart",
    "BillingPeriodStatus",
    "InvoiceIssuerName",
];

#[test]
fn each_table_has_its_columns_and_a_value_wherever_one_must_be() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let tables: [(FocusDataset, &[&str], &[&str]); 3] = [
        (FocusDataset::CostAndUsage, &COST_AND_USAGE, &COST_AND_USAGE_NULLABLE),
        (FocusDataset::InvoiceDetail, &INVOICE_DETAIL, &INVOICE_DETAIL_NULLABLE),
        (FocusDataset::BillingPeriod, &BILLING_PERIOD, &[]),
    ];
    for (dataset, needed, nullable) in tables {
        let rows = focus.rows(FocusVersion::V1_4, dataset).unwrap();
        let names: BTreeSet<&str> = rows.columns().iter().map(|(name, _)| *name).collect();
        let expected: BTreeSet<&str> = needed.iter().chain(nullable).copied().collect();
        assert_eq!(names, expected);
        for record in records(&rows) {
            for column in needed {
                assert!(record.contains_key(column), "{column}: {record:?}");
            }
        }
    }
}

#[test]
fn words_prices_and_corrections_of_cost_and_usage_are_as_the_rules_have_them() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let rows = focus.rows(FocusVersion::V1_4, FocusDataset::CostAndUsage).unwrap();
    for record in records(&rows) {
        let has = |column: &str| record.contains_key(column);
        let category = record["ChargeCategory"];
        assert!(["Usage", "Purchase", "Tax", "Credit", "Adjustment"].contains(&category));
        assert!(["One-Time", "Recurring", "Usage-Based"].contains(&record["ChargeFrequency"]));
        assert!(record.get("ChargeClass").is_none_or(|class| *class == "Correction"));
        let credited = category == "Credit" || record["ChargeDescription"].starts_with("Tax on Credit");
        assert_eq!(credited, record.contains_key("ChargeClass"), "{record:?}");
        assert!(record["ChargePeriodStart"] < record["ChargePeriodEnd"]);
        // Neither taxes nor adjustments have a price; a price, its quantity and its unit come together and make the cost.
        assert!(
            !(has("ListUnitPrice") && ["Tax", "Adjustment"].contains(&category)),
            "{record:?}"
        );
        for column in [
            "PricingQuantity",
            "PricingUnit",
            "PricingCategory",
            "SkuId",
            "SkuPriceId",
            "ContractedUnitPrice",
        ] {
            assert_eq!(has("ListUnitPrice"), has(column), "{column} of {record:?}");
        }
        assert_eq!(has("ConsumedQuantity"), has("ConsumedUnit"));
        assert_eq!(has("ResourceId"), has("ResourceType"));
        assert_eq!(has("SubAccountId"), has("SubAccountType"));
        if has("ListUnitPrice") {
            // A figure without an end is printed to 28 places.
            let off = exact(record["ListUnitPrice"]) * exact(record["PricingQuantity"]) - exact(record["ListCost"]);
            assert!(off.round(20, maru_meter::Rounding::HalfUp).is_zero(), "{record:?}");
        }
        // Builds are billed as they are written off, so that no cost is recognised at another time than it is billed.
        assert_eq!(record["EffectiveCost"], record["BilledCost"]);
    }
}

#[test]
fn the_ratios_of_a_shared_cost_sum_to_one_and_name_who_bears_it() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let rows = focus.rows(FocusVersion::V1_4, FocusDataset::CostAndUsage).unwrap();
    let mut sums: BTreeMap<[String; 3], Vec<(Exact, Exact)>> = BTreeMap::new();
    for record in records(&rows) {
        let share = record.get("AllocatedMethodId");
        for column in ["AllocatedMethodDetails", "AllocatedResourceId", "AllocatedResourceName"] {
            assert_eq!(share.is_some(), record.contains_key(column), "{column}");
        }
        let Some(method) = share else { continue };
        assert!(["Weight", "WeightAndUse", "Use", "Whole"].contains(method));
        assert_eq!(record["AllocatedResourceId"], record["BillingAccountId"]);
        let details = record["AllocatedMethodDetails"];
        let object: serde_json::Value = serde_json::from_str(details).unwrap();
        assert!(object["Elements"][0]["AllocatedRatio"].is_number());
        let ratio = details
            .split_once("AllocatedRatio\":")
            .unwrap()
            .1
            .trim_end_matches("}]}");
        let key = ["ResourceId", "ChargeDescription", "ChargePeriodStart"].map(|column| record[column].to_owned());
        sums.entry(key)
            .or_default()
            .push((exact(ratio), exact(record["BilledCost"])));
    }
    assert!(sums.keys().any(|key| key[0] == "mois/docs") && sums.keys().any(|key| key[0] == "data-centre"));
    for (key, parts) in sums {
        let cost: Exact = parts.iter().map(|(_, part)| part).sum();
        assert_eq!(
            parts.iter().map(|(ratio, _)| ratio).sum::<Exact>(),
            Exact::ONE,
            "{key:?}"
        );
        for (ratio, part) in parts {
            let off = &(&ratio * &cost) - &part;
            assert!(
                off.round(0, maru_meter::Rounding::Down).is_zero(),
                "{key:?}: {part} is not {ratio} of {cost}"
            );
        }
    }
}

#[test]
fn invoice_details_are_unique_name_what_they_correct_and_lead_to_cost_and_usage() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let details = focus.rows(FocusVersion::V1_4, FocusDataset::InvoiceDetail).unwrap();
    let charges = focus.rows(FocusVersion::V1_4, FocusDataset::CostAndUsage).unwrap();
    let mut left: BTreeMap<(&str, &str), Exact> = BTreeMap::new();
    for record in records(&charges) {
        let key = (record["InvoiceId"], record["InvoiceDetailId"]);
        *left.entry(key).or_default() += exact(record["BilledCost"]);
    }
    let mut referring = 0;
    for record in records(&details) {
        assert_eq!(record["InvoiceIssueStatus"], "Issued");
        assert!(
            serde_json::from_str::<serde_json::Value>(record["InvoiceDetailGrain"])
                .unwrap()
                .is_object()
        );
        let key = (record["InvoiceId"], record["InvoiceDetailId"]);
        assert_eq!(
            left.remove(&key),
            Some(exact(record["BilledCost"])),
            "{key:?} is there twice or not at all"
        );
        let credit = record["ReferenceInvoiceId"] != record["InvoiceId"];
        referring += usize::from(credit);
        let known = bills
            .iter()
            .any(|bill| bill.number.as_deref() == Some(record["ReferenceInvoiceId"]));
        assert!(known, "{record:?}");
    }
    assert!(left.is_empty() && referring > 0);
}

#[test]
fn a_period_is_open_until_all_of_its_bills_are_issued() {
    let (mut bills, zone) = year::bills();
    bills.iter_mut().find(|bill| bill.period == "2026-12").unwrap().number = None;
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let periods = focus.rows(FocusVersion::V1_4, FocusDataset::BillingPeriod).unwrap();
    let periods = records(&periods);
    assert_eq!(periods.len(), 12);
    assert_eq!(periods[0]["BillingPeriodStart"], "2025-12-31T15:00:00Z");
    assert_eq!(
        (periods[10]["BillingPeriodStatus"], periods[11]["BillingPeriodStatus"]),
        ("Closed", "Open")
    );
    let details = focus.rows(FocusVersion::V1_4, FocusDataset::InvoiceDetail).unwrap();
    let open = records(&details)
        .into_iter()
        .filter(|record| record["InvoiceIssueStatus"] == "Open");
    assert!(
        open.map(|record| record["InvoiceId"].to_owned())
            .all(|id| id.starts_with("draft-2026-12-"))
    );
}
