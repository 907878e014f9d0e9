//! Bills as FOCUS 1.2 *Cost and Usage*: a row for each line, one for its tax, and one for what rounding a whole bill adds.
//!
//! Figures are decimals as text, exact to the last digit. See `docs/focus.md` for how a bill's words become FOCUS's.

use std::sync::Arc;

use jiff::Timestamp;
use maru_meter::{Exact, Rounding};
use maru_rate::{Charge, Month, Period};

use crate::bill::{Bill, BillLine};
use crate::rows::{Kind, Rows};

/// Who provides, publishes and bills.
const ISSUER: &str = "Maru";
/// Places of a price or a cost that has no end.
const PLACES: u32 = 28;

const COLUMNS: [(&str, Kind); 38] = [
    ("BilledCost", Kind::Decimal),
    ("BillingAccountId", Kind::Text),
    ("BillingAccountName", Kind::Text),
    ("BillingAccountType", Kind::Text),
    ("BillingCurrency", Kind::Text),
    ("BillingPeriodEnd", Kind::Time),
    ("BillingPeriodStart", Kind::Time),
    ("ChargeCategory", Kind::Text),
    ("ChargeClass", Kind::Text),
    ("ChargeDescription", Kind::Text),
    ("ChargeFrequency", Kind::Text),
    ("ChargePeriodEnd", Kind::Time),
    ("ChargePeriodStart", Kind::Time),
    ("ConsumedQuantity", Kind::Decimal),
    ("ConsumedUnit", Kind::Text),
    ("ContractedCost", Kind::Decimal),
    ("ContractedUnitPrice", Kind::Decimal),
    ("EffectiveCost", Kind::Decimal),
    ("InvoiceId", Kind::Text),
    ("InvoiceIssuerName", Kind::Text),
    ("ListCost", Kind::Decimal),
    ("ListUnitPrice", Kind::Decimal),
    ("PricingCategory", Kind::Text),
    ("PricingCurrency", Kind::Text),
    ("PricingQuantity", Kind::Decimal),
    ("PricingUnit", Kind::Text),
    ("ProviderName", Kind::Text),
    ("PublisherName", Kind::Text),
    ("ServiceCategory", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceSubcategory", Kind::Text),
    ("SkuId", Kind::Text),
    ("SkuMeter", Kind::Text),
    ("SkuPriceId", Kind::Text),
    ("SubAccountId", Kind::Text),
    ("SubAccountName", Kind::Text),
    ("SubAccountType", Kind::Text),
    ("x_Completeness", Kind::Text),
];

/// One charge in FOCUS's words, before it is spread over the columns.
struct Row<'a> {
    bill: &'a Bill,
    line: Option<&'a BillLine>,
    category: &'static str,
    description: String,
    cost: Exact,
    /// Price and quantity whose product is the cost before it was rounded; none for taxes and adjustments.
    priced: Option<(Exact, Exact, String)>,
}

/// The bills as FOCUS 1.2 *Cost and Usage*; `zone` is that of the price book. The costs of a bill's rows sum to what is payable.
pub fn focus(bills: &[Bill], zone: &jiff::tz::TimeZone) -> Rows {
    let mut rows = Rows::new(&COLUMNS);
    for bill in bills {
        let period = bill
            .period
            .parse::<Month>()
            .ok()
            .and_then(|month| Period::new(month, zone));
        let Some(period) = period else { continue };
        let mut sum = Exact::ZERO;
        for row in bill.lines.iter().flat_map(|line| of_line(bill, line)) {
            sum += &row.cost;
            rows.push(row.cells(period.interval.start, period.interval.end));
        }
        let rest = &bill.total - &sum;
        if !rest.is_zero() {
            let rounding = Row {
                bill,
                line: None,
                category: "Adjustment",
                description: "Rounding of the bill's total".to_owned(),
                cost: rest,
                priced: None,
            };
            rows.push(rounding.cells(period.interval.start, period.interval.end));
        }
    }
    rows
}

fn of_line<'a>(bill: &'a Bill, line: &'a BillLine) -> Vec<Row<'a>> {
    let what = line.meter.as_deref().or(line.item.as_deref()).unwrap_or_default();
    let description = format!("{} {what}", line.charge.name()).trim_end().to_owned();
    let category = category(line.charge);
    let priced = (category == "Usage").then(|| priced(line));
    let mut rows = vec![Row {
        bill,
        line: Some(line),
        category,
        description: description.clone(),
        cost: line.amount.clone(),
        priced,
    }];
    if !line.tax.is_zero() {
        rows.push(Row {
            bill,
            line: Some(line),
            category: "Tax",
            description: format!("Tax on {description}"),
            cost: line.tax.clone(),
            priced: None,
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
fn shown(number: &Exact) -> String {
    number.to_fixed(number.places().unwrap_or(PLACES).clamp(1, PLACES))
}

impl Row<'_> {
    fn cells(&self, start: Timestamp, end: Timestamp) -> Vec<Option<String>> {
        COLUMNS
            .iter()
            .map(|(column, _)| self.cell(column, start, end))
            .collect()
    }

    fn cell(&self, column: &str, start: Timestamp, end: Timestamp) -> Option<String> {
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
            "BillingPeriodStart" => Some(start.to_string()),
            "BillingPeriodEnd" => Some(end.to_string()),
            "ChargePeriodStart" => Some(line.map_or(start, |line| line.period_start).to_string()),
            "ChargePeriodEnd" => Some(line.map_or(end, |line| line.period_end).to_string()),
            "ChargeCategory" => own(self.category),
            "ChargeClass" => line.filter(|line| line.corrects.is_some()).and(own("Correction")),
            "ChargeDescription" => Some(self.description.clone()),
            "ChargeFrequency" => own(match self.category {
                "Usage" => "Usage-Based",
                _ => "One-Time",
            }),
            "ConsumedQuantity" => used.map(|line| line.quantity.as_ref().map_or_else(|| shown(&Exact::ONE), shown)),
            "ConsumedUnit" => used.map(|line| line.unit.as_deref().map_or_else(|| "Months".to_owned(), unit_of)),
            "InvoiceId" => Some(
                // A draft is a provisional invoice: its rows belong together before they have a number.
                bill.number
                    .clone()
                    .unwrap_or_else(|| format!("draft-{}-{}", bill.period, bill.agency)),
            ),
            "InvoiceIssuerName" | "ProviderName" | "PublisherName" => own(ISSUER),
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
            "x_Completeness" => line.map(|line| format!("{:?}", line.completeness)),
            _ => None,
        }
    }
}

fn sku(line: &BillLine) -> String {
    let what: Option<&Arc<str>> = line.meter.as_ref().or(line.item.as_ref());
    what.map_or_else(|| line.charge.name().to_owned(), ToString::to_string)
}
