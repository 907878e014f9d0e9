//! Bills as FOCUS: *Cost and Usage* of versions 1.2 and 1.4, and of 1.4 *Invoice Detail* and *Billing Period* too.
//!
//! Figures are decimals as text, exact to the last digit. See `docs/focus.md` for how a bill's words become FOCUS's.

mod columns;
mod row;
mod shares;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maru_meter::Interval;
use maru_rate::{Month, Period};

use self::row::{ISSUER, Row, shown};
use self::shares::Shares;
use crate::bill::Bill;
use crate::rows::{Column, Rows};

/// A version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusVersion {
    /// 1.2.
    V1_2,
    /// 1.4.
    V1_4,
}

/// A table of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusDataset {
    /// What was used and what it costs.
    CostAndUsage,
    /// What stands on invoices. Since 1.4.
    InvoiceDetail,
    /// Which periods are closed. Since 1.4.
    BillingPeriod,
}

impl FocusDataset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CostAndUsage, Self::InvoiceDetail, Self::BillingPeriod];

    /// Its name, as files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CostAndUsage => "cost-and-usage",
            Self::InvoiceDetail => "invoice-detail",
            Self::BillingPeriod => "billing-period",
        }
    }
}

/// Bills that are exported together. They are all bills of their periods, so that it can be seen who shares a cost; one agency's may be
/// picked out of them.
#[derive(Debug)]
pub struct Focus<'a> {
    bills: &'a [Bill],
    zone: &'a TimeZone,
    at: Timestamp,
    agency: Option<&'a str>,
    shares: Shares,
}

impl<'a> Focus<'a> {
    /// `zone` is that of the price book, and `at` the moment of the export.
    pub fn new(bills: &'a [Bill], zone: &'a TimeZone, at: Timestamp) -> Self {
        Self {
            bills,
            zone,
            at,
            agency: None,
            shares: Shares::of(bills),
        }
    }

    /// The rows of one agency only.
    #[must_use]
    pub fn of_agency(self, agency: Option<&'a str>) -> Self {
        Self { agency, ..self }
    }

    /// A table; none where the version does not have it.
    pub fn rows(&self, version: FocusVersion, dataset: FocusDataset) -> Option<Rows> {
        Some(match (version, dataset) {
            (FocusVersion::V1_2, FocusDataset::CostAndUsage) => self.charges(&columns::COST_AND_USAGE_1_2),
            (FocusVersion::V1_2, _) => return None,
            (FocusVersion::V1_4, FocusDataset::CostAndUsage) => self.charges(&columns::COST_AND_USAGE_1_4),
            (FocusVersion::V1_4, FocusDataset::InvoiceDetail) => self.invoice_detail(),
            (FocusVersion::V1_4, FocusDataset::BillingPeriod) => self.billing_period(),
        })
    }

    /// *Cost and Usage*: the costs of the rows of an `InvoiceId` sum to what is payable.
    fn charges(&self, columns: &'static [Column]) -> Rows {
        let mut rows = Rows::new(columns);
        for row in self.each() {
            rows.push(columns.iter().map(|(column, _)| row.cell(column)).collect());
        }
        rows
    }

    fn invoice_detail(&self) -> Rows {
        let mut rows = Rows::new(&columns::INVOICE_DETAIL);
        for row in self.each() {
            let cells = columns::INVOICE_DETAIL
                .iter()
                .map(|(column, _)| self.detail(&row, column));
            rows.push(cells.collect());
        }
        rows
    }

    fn detail(&self, row: &Row<'_>, column: &str) -> Option<String> {
        match column {
            "InvoiceDetailCreated" | "InvoiceDetailLastUpdated" => Some(self.at.to_string()),
            "InvoiceDetailDescription" => row.cell("ChargeDescription"),
            "InvoiceDetailGrain" => Some(grain(row)),
            "InvoiceIssueStatus" => {
                let status = if row.bill.number.is_some() { "Issued" } else { "Open" };
                Some(status.to_owned())
            }
            "PaymentCurrency" => Some(row.bill.currency.clone()),
            "PaymentCurrencyBilledCost" => Some(shown(&row.cost)),
            "PaymentTerms" => Some("None stated".to_owned()),
            "ReferenceInvoiceId" => {
                let corrects = row.line.and_then(|line| line.corrects.as_deref());
                let number = corrects.map(|place| place.rsplit_once('/').map_or(place, |(number, _)| number));
                Some(number.map_or_else(|| row.invoice(), str::to_owned))
            }
            other => row.cell(other),
        }
    }

    /// A period is open until all of its bills are issued.
    fn billing_period(&self) -> Rows {
        let mut rows = Rows::new(&columns::BILLING_PERIOD);
        let mut months: Vec<&str> = self.bills.iter().map(|bill| bill.period.as_str()).collect();
        months.sort_unstable();
        months.dedup();
        for month in months {
            let Some(period) = self.period(month) else { continue };
            let mut bills = self.bills.iter().filter(|bill| bill.period == month);
            let closed = bills.all(|bill| bill.number.is_some());
            let cell = |column: &str| match column {
                "BillingPeriodStart" => period.start.to_string(),
                "BillingPeriodEnd" => period.end.to_string(),
                "BillingPeriodStatus" => (if closed { "Closed" } else { "Open" }).to_owned(),
                "InvoiceIssuerName" => ISSUER.to_owned(),
                _ => self.at.to_string(),
            };
            rows.push(
                columns::BILLING_PERIOD
                    .iter()
                    .map(|(column, _)| Some(cell(column)))
                    .collect(),
            );
        }
        rows
    }

    fn each(&self) -> impl Iterator<Item = Row<'_>> {
        let bills = self.bills.iter().enumerate();
        let wanted = bills.filter(|(_, bill)| self.agency.is_none_or(|agency| bill.agency == agency));
        wanted.flat_map(|(place, bill)| {
            let Some(period) = self.period(&bill.period) else {
                return Vec::new();
            };
            let mut rows = row::of_bill(bill, period);
            for row in &mut rows {
                row.share = self.shares.of_row(place, row);
            }
            rows
        })
    }

    fn period(&self, month: &str) -> Option<Interval> {
        Period::new(month.parse::<Month>().ok()?, self.zone).map(|period| period.interval)
    }
}

/// What tells a record of an invoice from the others, as a JSON object.
fn grain(row: &Row<'_>) -> String {
    let mut grain = serde_json::Map::new();
    for key in [
        "ResourceId",
        "ResourceType",
        "ServiceName",
        "SkuId",
        "SkuMeter",
        "SubAccountId",
    ] {
        if let Some(value) = row.cell(key) {
            grain.insert(key.to_owned(), value.into());
        }
    }
    for (key, column) in [
        ("x_ChargeDescription", "ChargeDescription"),
        ("x_ChargePeriodStart", "ChargePeriodStart"),
    ] {
        if let Some(value) = row.cell(column) {
            grain.insert(key.to_owned(), value.into());
        }
    }
    serde_json::Value::Object(grain).to_string()
}
