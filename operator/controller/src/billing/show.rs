//! Showing agencies their bills: an object of kind `Bill` in the agency's namespace, and what of its budget is spent.

use super::report::{Stage, Trouble, condition, patching, status_patch};
use super::work::Outcome;
use crate::listing;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use maru_crds::{
    Agency, Bill, BillAllocation, BillBasis, BillInputs, BillKind, BillLine, BillSaving, BillSpec, BillStatus, BillTax,
    BillingRun, BudgetUse, LineCompleteness,
};
use maru_desire::{AGENCY_LABEL, MANAGED_BY, MANAGED_BY_LABEL};
use maru_ledger::{Page, PageKind};
use maru_meter::Completeness;
use maru_rate::{Allocation, Line, Month};
use serde_json::json;
use std::collections::HashMap;

/// Who writes bills, in the API server's book of fields.
const MANAGER: &str = "maru-billing";
/// Periods whose bills are kept as objects; the ledger has them all.
const KEPT_PERIODS: i32 = 3;
/// How many lines an object shows.
const MOST_LINES: usize = 2000;

/// Writes the bills of a run that are not there as they should be, removes those of old periods, and says what is spent.
pub(super) async fn bills(
    client: &Client,
    run: &BillingRun,
    outcome: &Outcome,
    agencies: &[Agency],
    now: Timestamp,
) -> Result<(), Trouble> {
    let known = known(client).await?;
    let described: HashMap<String, &Agency> = agencies.iter().map(|agency| (agency.name_any(), agency)).collect();
    for page in outcome.pages.iter().chain(&outcome.credit_notes) {
        let statement = page.statement();
        let Some(agency) = described.get(&statement.agency) else {
            tracing::warn!(
                agency = statement.agency,
                "has a bill and no Agency describes it: no object shows the bill"
            );
            continue;
        };
        let Some(namespace) = agency.namespace_names().into_iter().next() else {
            continue;
        };
        let name = name_of(page);
        let wanted = spec(page, &run.spec.rate_card_ref.name);
        let there = known.get(&(namespace.clone(), name.clone()));
        // What was issued is never written again: the API server refuses any change of it.
        if there.is_none_or(|bill| bill.spec.number.is_none() && bill.spec != wanted) {
            write(client, &namespace, &name, &statement.agency, wanted, now).await?;
        }
        let runs = outcome.period.interval.start <= now && now < outcome.period.interval.end;
        if runs && page.kind() == PageKind::Invoice {
            spent(client, agency, page, outcome).await?;
        }
    }
    if outcome.stage == Stage::Issued {
        forget_old(client, &known, outcome.period.month).await?;
    }
    Ok(())
}

/// What its object is called. A month has one bill and any number of credit notes.
fn name_of(page: &Page) -> String {
    match (page.credit_for(), page.number()) {
        (Some(_), Some(number)) => format!("credit-note-{number}"),
        _ => format!("invoice-{}", page.month()),
    }
}

type Known = HashMap<(String, String), Bill>;

/// Every bill that was written.
async fn known(client: &Client) -> Result<Known, kube::Error> {
    let api = Api::<Bill>::all(client.clone());
    let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let bills = listing::all(&api, &ours).await?;
    let named = |bill: Bill| ((bill.namespace().unwrap_or_default(), bill.name_any()), bill);
    Ok(bills.into_iter().map(named).collect())
}

async fn write(
    client: &Client,
    namespace: &str,
    name: &str,
    agency: &str,
    spec: BillSpec,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let api = Api::<Bill>::namespaced(client.clone(), namespace);
    let issued = spec.number.is_some();
    let object = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "Bill",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY_LABEL: MANAGED_BY, AGENCY_LABEL: agency}},
        "spec": spec,
    });
    let params = PatchParams::apply(MANAGER).force();
    let written = match api.patch(name, &params, &Patch::Apply(&object)).await {
        // The agency's namespace is not there: nobody could read it.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            tracing::warn!(namespace, name, "a bill is not shown: its namespace is not there");
            return Ok(());
        }
        written => written?,
    };
    let mut ready = condition(
        "True",
        if issued { "Issued" } else { "Drafted" },
        if issued {
            "it has its number"
        } else {
            "it is worked out anew every hour"
        },
    );
    ready.last_transition_time = Time(now);
    ready.observed_generation = written.metadata.generation;
    let status = BillStatus {
        observed_generation: written.metadata.generation,
        conditions: vec![ready],
    };
    api.patch_status(name, &patching(), &status_patch(&status)).await?;
    Ok(())
}

/// What the agency has spent in the month that runs.
async fn spent(client: &Client, agency: &Agency, page: &Page, outcome: &Outcome) -> Result<(), kube::Error> {
    let statement = page.statement();
    let forecast = outcome.forecast.iter().find(|(name, _)| *name == statement.agency);
    let used = BudgetUse {
        period: page.month().to_owned(),
        currency: page.currency().to_owned(),
        spent: statement.total.to_string(),
        forecast: forecast.map(|(_, total)| total.to_string()),
    };
    let known = agency.status.as_ref().and_then(|status| status.budget.as_ref());
    if known != Some(&used) {
        let status = json!({ "budget": used });
        let api = Api::<Agency>::all(client.clone());
        api.patch_status(&agency.name_any(), &patching(), &status_patch(&status))
            .await?;
    }
    Ok(())
}

/// Bills of periods before the last ones leave the API server.
async fn forget_old(client: &Client, known: &Known, month: Month) -> Result<(), kube::Error> {
    for ((namespace, name), bill) in known {
        let old = bill
            .spec
            .period
            .parse::<Month>()
            .is_ok_and(|period| month.months_since(period) >= KEPT_PERIODS);
        if old && bill.spec.number.is_some() {
            let api = Api::<Bill>::namespaced(client.clone(), namespace);
            match api.delete(name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                deleted => {
                    deleted?;
                }
            }
        }
    }
    Ok(())
}

/// A page as an object says it.
fn spec(page: &Page, rate_card: &str) -> BillSpec {
    let statement = page.statement();
    let inputs = page.inputs().map(|inputs| BillInputs {
        rate_card: rate_card.to_owned(),
        digest: inputs.manifests.to_string(),
        table_version: inputs
            .usage_table_version
            .and_then(|version| i64::try_from(version).ok()),
    });
    BillSpec {
        agency: statement.agency.clone(),
        period: page.month().to_owned(),
        kind: match page.kind() {
            PageKind::CreditNote => BillKind::CreditNote,
            PageKind::Invoice | PageKind::Closing => BillKind::Invoice,
        },
        currency: page.currency().to_owned(),
        number: page.number().map(str::to_owned),
        issued_at: page.issued_at().map(str::to_owned),
        digest: page.number().and(page.digest()).map(|digest| digest.to_string()),
        signature: None,
        inputs,
        credit_for: page.credit_for().map(str::to_owned),
        subtotal: statement.subtotal.to_string(),
        tax: statement.tax.to_string(),
        total: statement.total.to_string(),
        taxes: statement
            .taxes
            .iter()
            .map(|part| BillTax {
                tax: part.name.clone(),
                rate: part.rate.to_string(),
                base: part.base.to_string(),
                amount: part.amount.to_string(),
            })
            .collect(),
        lines: statement.lines.iter().take(MOST_LINES).map(line).collect(),
        line_count: i32::try_from(statement.lines.len()).ok(),
        savings: statement
            .savings
            .iter()
            .map(|saving| BillSaving {
                system: saving.system.clone(),
                fee: saving.fee.to_string(),
                standalone: saving.standalone.to_string(),
                saving: (&saving.standalone - &saving.fee).to_string(),
            })
            .collect(),
    }
}

fn line(line: &Line) -> BillLine {
    let text = |name: &std::sync::Arc<str>| name.to_string();
    BillLine {
        system: line.system.as_ref().map(text),
        charge: line.charge,
        meter: line.meter.as_ref().map(text),
        item: line.item.as_ref().map(text),
        quantity: line.quantity.as_ref().map(ToString::to_string),
        unit: line.unit.as_ref().map(text),
        unit_price: line.unit_price.as_ref().map(ToString::to_string),
        amount: line.amount.to_string(),
        tax: Some(line.tax.to_string()),
        period_start: line.interval.start.to_string(),
        period_end: line.interval.end.to_string(),
        completeness: match line.completeness {
            Completeness::Complete => LineCompleteness::Complete,
            Completeness::Estimated => LineCompleteness::Estimated,
            Completeness::Missing => LineCompleteness::Missing,
        },
        corrects: line.corrects.clone(),
        reason: line.reason.clone(),
        allocation: line.allocation.as_deref().map(allocation),
    }
}

fn allocation(allocation: &Allocation) -> BillAllocation {
    BillAllocation {
        method: allocation.method,
        total: allocation.total.to_string(),
        ratio: allocation.ratio.to_string(),
        basis: allocation.basis.as_deref().map(|basis| BillBasis {
            fixed: basis.fixed.to_string(),
            weight: basis.weight.to_string(),
            weights: basis.weights.to_string(),
            used: basis.used.to_string(),
            all_used: basis.all_used.to_string(),
        }),
    }
}
