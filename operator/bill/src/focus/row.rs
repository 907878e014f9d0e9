//! A charge in FOCUS's words: each line of a bill is one, its tax another, and what rounding a whole bill adds.

use std::sync::Arc;

use jiff::Timestamp;
use maru_meter::{Exact, Interval, Rounding};
use maru_rate::Charge;

use super::shares::Share;
use crate::bill::{Bill, BillLine};

/// Who provides, publishes and bills.
pub(super) const ISSUER: &str = "Maru";
/// Places of a price or a cost that has no end.
const PLACES: u32 = 28;

/// One charge, before it is spread over the columns.
pub(super) struct Row<'a> {
    pub(super) bill: &'a Bill,
    period: Interval,
    pub(super) line: Option<&'a BillLine>,
    /// Which of the bill's records it is.
    detail: String,
    category: &'static str,
    description: String,
    pub(super) cost: Exact,
    /// Price and quantity whose product is the cost before it was rounded; none for taxes and adjustments.
    priced: Option<(Exact, Exact, String)>,
    /// Its part of a cost that several agencies share.
    pub(super) share: Option<Share>,
}

/// The charges of a bill. Their costs sum to what is payable.
pub(super) fn of_bill<'a>(bill: &'a Bill, period: Interval) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = (1..)
        .zip(&bill.lines)
        .flat_map(|(number, line)| of_line(bill, period, number, line))
        .collect();
    let rest = &bill.total - &rows.iter().map(|row| &row.cost).sum::<Exact>();
    if !rest.is_zero() {
        rows.push(Row {
            bill,
            period,
            line: None,
            detail: "rounding".to_owned(),
            category: "Adjustment",
            description: "Rounding of the bill's total".to_owned(),
            cost: rest,
            priced: None,
            share: None,
        });
    }
    rows
}

fn of_line<'a>(bill: &'a Bill, period: Interval, number: usize, line: &'a BillLine) -> Vec<Row<'a>> {
    let what = line.meter.as_deref().or(line.item.as_deref()).unwrap_or_default();
    let description = format!("{} {what}", line.charge.name()).trim_end().to_owned();
    let category = category(line.charge);
    let priced = (category == "Usage").then(|| priced(line));
    let mut rows = vec![Row {
        bill,
        period,
        line: Some(line),
        detail: number.to_string(),
        category,
        description: description.clone(),
        cost: line.amount.clone(),
        priced,
        share: None,
    }];
    if !line.tax.is_zero() {
        rows.push(Row {
            bill,
            period,
            line: Some(line),
            detail: format!("{number}-tax"),
            category: "Tax",
            description: format!("Tax on {description}"),
            cost: line.tax.clone(),
            priced: None,
            share: None,
        });
    }
    rows
}

/// A share of what a month of a system costs is use of that system for the month, and not the purchase of what will be used later.
fn category(charge: Charge) -> &'static str {
    match charge {
        Charge::CarryForward | Charge::Adjustment => "Adjustment",
        Charge::Credit => "Credit",
        Charge::Tax => "Tax",
        _ => "Usage",
    }
}

/// Price, quantity and unit. A line has them where it has a single price in the bill's currency; any other (tiers, included units,
/// packages, another currency) is one charge at its amount, and what was used stands in `ConsumedQuantity`.
fn priced(line: &BillLine) -> (Exact, Exact, String) {
    if let (Some(price), Some(quantity), Some(unit)) = (&line.unit_price, &line.quantity, &line.unit) {
        let places = line.amount.places().unwrap_or(0);
        let exact = price * quantity;
        let rounds = [Rounding::HalfUp, Rounding::HalfEven, Rounding::Down, Rounding::Up];
        if rounds.iter().any(|mode| exact.round(places, *mode) == line.amount) {
            return (price.clone(), quantity.clone(), unit_of(unit));
        }
    }
    (line.amount.clone(), Exact::ONE, "Charges".to_owned())
}

/// FOCUS writes units in the plural and with capitals: `Core-Hours`.
fn unit_of(unit: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    let words: Vec<String> = unit.split('-').map(capital).collect();
    format!("{}s", words.join("-"))
}

fn service(meter: Option<&str>) -> (&'static str, &'static str) {
    match meter.and_then(|meter| meter.split('.').next()) {
        Some("cpu" | "memory" | "gpu") => ("Compute", "Other (Compute)"),
        Some("storage") => ("Storage", "Other (Storage)"),
        Some("dataset") => ("Databases", "Other (Databases)"),
        Some("tokens") => ("AI and Machine Learning", "Other (AI and Machine Learning)"),
        _ => ("Other", "Other (Other)"),
    }
}

/// A decimal with its point, so that readers who guess a column's type do not take won for integers.
pub(super) fn shown(number: &Exact) -> String {
    number.to_fixed(number.places().unwrap_or(PLACES).clamp(1, PLACES))
}

impl Row<'_> {
    /// The bill's number. A draft is a provisional invoice: its rows belong together before they have a number.
    pub(super) fn invoice(&self) -> String {
        let number = self.bill.number.clone();
        number.unwrap_or_else(|| format!("draft-{}-{}", self.bill.period, self.bill.agency))
    }

    /// The number of the line that it is; none for a tax and for rounding.
    pub(super) fn number(&self) -> Option<usize> {
        self.detail.parse().ok()
    }

    fn time(&self, column: &str) -> Option<Timestamp> {
        Some(match column {
            "BillingPeriodStart" => self.period.start,
            "BillingPeriodEnd" => self.period.end,
            "ChargePeriodStart" => self.line.map_or(self.period.start, |line| line.period_start),
            "ChargePeriodEnd" => self.line.map_or(self.period.end, |line| line.period_end),
            _ => return None,
        })
    }

    /// What stands in a column; none where nothing does.
    pub(super) fn cell(&self, column: &str) -> Option<String> {
        if let Some(moment) = self.time(column) {
            return Some(moment.to_string());
        }
        let (bill, line, priced) = (self.bill, self.line, self.priced.as_ref());
        let meter = line.and_then(|line| line.meter.as_deref());
        let used = line.filter(|_| self.category == "Usage");
        let own = |text: &str| Some(text.to_owned());
        match column {
            "BilledCost" | "EffectiveCost" => Some(shown(&self.cost)),
            "ContractedCost" | "ListCost" => {
                Some(priced.map_or_else(|| shown(&self.cost), |(p, q, _)| shown(&(p * q))))
            }
            "ContractedUnitPrice" | "ListUnitPrice" => priced.map(|(price, _, _)| shown(price)),
            "PricingQuantity" => priced.map(|(_, quantity, _)| shown(quantity)),
            "PricingUnit" => priced.map(|(_, _, unit)| unit.clone()),
            "PricingCategory" => priced.and(own("Standard")),
            "BillingAccountId" | "BillingAccountName" => own(&bill.agency),
            "BillingAccountType" => own("Agency"),
            "BillingCurrency" | "PricingCurrency" => own(&bill.currency),
            "ChargeCategory" => own(self.category),
            "ChargeClass" => line.filter(|line| line.is_correction()).and(own("Correction")),
            "ChargeDescription" => Some(self.description.clone()),
            "ChargeFrequency" => own(match self.category {
                "Usage" => "Usage-Based",
                _ => "One-Time",
            }),
            "ConsumedQuantity" => used.map(|line| line.quantity.as_ref().map_or_else(|| shown(&Exact::ONE), shown)),
            "ConsumedUnit" => used.map(|line| match (&line.unit, &line.quantity) {
                (Some(unit), _) => unit_of(unit),
                // Use that nothing prices and whose records name no unit.
                (None, Some(_)) => "Units".to_owned(),
                (None, None) => "Months".to_owned(),
            }),
            "InvoiceId" => Some(self.invoice()),
            "InvoiceDetailId" => Some(self.detail.clone()),
            "InvoiceIssuerName" | "ProviderName" | "PublisherName" | "HostProviderName" | "ServiceProviderName" => {
                own(ISSUER)
            }
            "ServiceCategory" => own(service(meter).0),
            "ServiceSubcategory" => own(service(meter).1),
            "ServiceName" => own(meter
                .or_else(|| line.map(|line| line.charge.name()))
                .unwrap_or("Rounding")),
            "SkuId" => priced.and_then(|_| Some(sku(line?))),
            "SkuPriceId" => priced.and_then(|_| Some(format!("{}/{}", sku(line?), line?.period_start))),
            "SkuMeter" => priced.and_then(|_| Some(sku(line?))),
            "SubAccountId" | "SubAccountName" => line.and_then(|line| line.system.as_deref().map(str::to_owned)),
            "SubAccountType" => line.and_then(|line| line.system.as_ref()).and(own("System")),
            "ResourceId" | "ResourceName" => line.and_then(resource),
            "ResourceType" => {
                line.and_then(|line| resource(line).and(own(if line.system.is_some() { "System" } else { "CostPool" })))
            }
            "AllocatedMethodId" => self.share.as_ref().map(|share| share.method.name().to_owned()),
            "AllocatedMethodDetails" => self.share.as_ref().map(Share::details),
            "AllocatedResourceId" | "AllocatedResourceName" => self.share.as_ref().and(own(&bill.agency)),
            "x_Completeness" => line.map(|line| format!("{:?}", line.completeness)),
            _ => None,
        }
    }
}

/// What a charge is for: a system, or what the platform itself costs.
fn resource(line: &BillLine) -> Option<String> {
    if let Some(system) = &line.system {
        return Some(system.to_string());
    }
    super::shares::is_shared(line.charge)
        .then(|| line.item.as_deref().map(str::to_owned))
        .flatten()
}

fn sku(line: &BillLine) -> String {
    let what: Option<&Arc<str>> = line.meter.as_ref().or(line.item.as_ref());
    what.map_or_else(|| line.charge.name().to_owned(), ToString::to_string)
}
