//! A bill as the API server has it, as it is printed.

use std::sync::Arc;

use kube::ResourceExt;
use maru_bill::{Bill, BillKind, BillLine};
use maru_crds::{BillAllocation, LineCompleteness};
use maru_meter::{Completeness, Exact};
use maru_rate::{Allocation, Basis, Saving};

use super::Shown;
use crate::problem::Problem;

/// The bill of an object.
pub(crate) fn read(object: &maru_crds::Bill) -> Result<Shown, Problem> {
    let spec = &object.spec;
    let lines: Result<Vec<BillLine>, Problem> = spec.lines.iter().map(line).collect();
    let savings = spec.savings.iter().map(|saving| {
        Ok(Saving {
            agency: spec.agency.clone(),
            system: saving.system.clone(),
            fee: figure(&saving.fee)?,
            standalone: figure(&saving.standalone)?,
            saving: figure(&saving.saving)?,
        })
    });
    let bill = Bill {
        agency: spec.agency.clone(),
        period: spec.period.clone(),
        kind: match spec.kind {
            maru_crds::BillKind::Invoice => BillKind::Invoice,
            maru_crds::BillKind::CreditNote => BillKind::CreditNote,
        },
        currency: spec.currency.clone(),
        number: spec.number.clone(),
        subtotal: figure(&spec.subtotal)?,
        tax: figure(&spec.tax)?,
        total: figure(&spec.total)?,
        lines: lines?,
        savings: savings.collect::<Result<_, Problem>>()?,
    };
    let all = spec.line_count.and_then(|count| usize::try_from(count).ok());
    let notes = all.filter(|all| *all > bill.lines.len()).map(|all| {
        format!(
            "{} shows the first {} of {all} lines; read them all with --ledger",
            object.name_any(),
            bill.lines.len()
        )
    });
    Ok(Shown {
        notes: notes.into_iter().collect(),
        bill,
    })
}

fn line(line: &maru_crds::BillLine) -> Result<BillLine, Problem> {
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    let time = |text: &str| text.parse().map_err(|error| Problem::new(format!("`{text}`: {error}")));
    Ok(BillLine {
        system: text(&line.system),
        charge: line.charge,
        meter: text(&line.meter),
        item: text(&line.item),
        quantity: line.quantity.as_deref().map(figure).transpose()?,
        unit: text(&line.unit),
        unit_price: line.unit_price.as_deref().map(figure).transpose()?,
        amount: figure(&line.amount)?,
        tax: line.tax.as_deref().map(figure).transpose()?.unwrap_or_default(),
        period_start: time(&line.period_start)?,
        period_end: time(&line.period_end)?,
        completeness: match line.completeness {
            LineCompleteness::Complete => Completeness::Complete,
            LineCompleteness::Estimated => Completeness::Estimated,
            LineCompleteness::Missing => Completeness::Missing,
        },
        corrects: line.corrects.clone(),
        correction: None,
        reason: line.reason.clone(),
        allocation: line.allocation.as_ref().map(allocation).transpose()?.map(Box::new),
    })
}

fn allocation(allocation: &BillAllocation) -> Result<Allocation, Problem> {
    let basis = allocation.basis.as_ref().map(|basis| {
        Ok::<_, Problem>(Box::new(Basis {
            fixed: figure(&basis.fixed)?,
            weight: figure(&basis.weight)?,
            weights: figure(&basis.weights)?,
            used: figure(&basis.used)?,
            all_used: figure(&basis.all_used)?,
        }))
    });
    Ok(Allocation {
        method: allocation.method,
        ratio: figure(&allocation.ratio)?,
        total: figure(&allocation.total)?,
        basis: basis.transpose()?,
    })
}

fn figure(text: &str) -> Result<Exact, Problem> {
    text.parse()
        .map_err(|error| Problem::new(format!("`{text}` on a bill: {error}")))
}
