//! What an agency has spent, held against what it planned to spend. Billing writes the one, the agency's spec says the other.

use crate::reason::Reason;
use crate::status::Finding;
use maru_crds::{Agency, Budget, BudgetUse, OnExceeded};
use std::cmp::Reverse;

/// The condition that says so.
const KIND: &str = "WithinBudget";
/// One, in the billionths that amounts and thresholds are exact to.
const ONE: i128 = 1_000_000_000;

/// Why nothing new may begin in an agency's namespaces, as one clause: its budget is spent and it says `onExceeded: BlockNew`.
/// It names the amount and not what was spent since, so that it stays the same from one draft of the bill to the next.
pub fn blocks_new(agency: &Agency) -> Option<String> {
    let (budget, used) = known(agency)?;
    let blocks = budget.on_exceeded == OnExceeded::BlockNew && part_spent(budget, used)?.exceeds(ONE);
    blocks.then(|| {
        format!(
            "more than {} {} in {}",
            budget.currency, budget.monthly_amount, used.period
        )
    })
}

/// The highest alert threshold that was passed, as the spec writes it.
pub(crate) fn passed_threshold(agency: &Agency) -> Option<String> {
    let (budget, used) = known(agency)?;
    let part = part_spent(budget, used)?;
    let thresholds = budget.alert_thresholds.iter();
    let passed = thresholds.filter_map(|text| Some((billionths(text)?, text)));
    let passed = passed.filter(|(threshold, _)| part.reaches(*threshold));
    passed
        .min_by_key(|(threshold, _)| Reverse(*threshold))
        .map(|(_, text)| text.clone())
}

/// What the condition `WithinBudget` says.
pub(crate) fn within_budget(agency: &Agency) -> Finding {
    let Some(budget) = &agency.spec.budget else {
        return Finding::yes(KIND, Reason::NotApplicable, "spec.budget is not set");
    };
    let Some(used) = agency.status.as_ref().and_then(|status| status.budget.as_ref()) else {
        return Finding::unknown(KIND, Reason::NotBilledYet, "no bill of this agency was drafted yet");
    };
    if used.currency != budget.currency {
        let message = format!(
            "the bill is in {} and spec.budget in {}: they are not compared; give the budget in {}",
            used.currency, budget.currency, used.currency
        );
        return Finding::unknown(KIND, Reason::CurrencyDiffers, message);
    }
    let figures = figures(budget, used);
    match part_spent(budget, used) {
        None => Finding::unknown(KIND, Reason::NotBilledYet, format!("not a figure: {figures}")),
        Some(part) if part.exceeds(ONE) => Finding::no(KIND, Reason::BudgetExceeded, exceeded(budget, &figures)),
        Some(_) => passed_threshold(agency).map_or_else(
            || Finding::yes(KIND, Reason::WithinBudget, figures.clone()),
            |threshold| {
                let message = format!("{figures}; past the alert threshold {threshold}");
                Finding::yes(KIND, Reason::BudgetAlert, message)
            },
        ),
    }
}

fn exceeded(budget: &Budget, figures: &str) -> String {
    match budget.on_exceeded {
        OnExceeded::Warn => format!("{figures}; nothing is held up: spec.budget.onExceeded is Warn"),
        OnExceeded::BlockNew => format!(
            "{figures}; what runs goes on and nothing new begins (onExceeded: BlockNew) until the next month, or until the \
             platform raises spec.budget.monthlyAmount"
        ),
    }
}

fn figures(budget: &Budget, used: &BudgetUse) -> String {
    let (currency, amount) = (&budget.currency, &budget.monthly_amount);
    let forecast = used
        .forecast
        .as_ref()
        .map_or_else(String::new, |forecast| format!(", {forecast} expected by its end"));
    format!(
        "{currency} {} of {amount} spent in {}{forecast}",
        used.spent, used.period
    )
}

/// The budget and what was spent of it, where both are in the same currency.
fn known(agency: &Agency) -> Option<(&Budget, &BudgetUse)> {
    let budget = agency.spec.budget.as_ref()?;
    let used = agency.status.as_ref()?.budget.as_ref()?;
    (budget.currency == used.currency).then_some((budget, used))
}

/// What was spent and the whole amount, in billionths of the currency.
#[derive(Clone, Copy)]
struct PartSpent {
    spent: i128,
    amount: i128,
}

fn part_spent(budget: &Budget, used: &BudgetUse) -> Option<PartSpent> {
    Some(PartSpent {
        spent: billionths(&used.spent)?,
        amount: billionths(&budget.monthly_amount)?,
    })
}

/// An amount has at most 27 digits in billionths and a threshold 10: the products fit.
impl PartSpent {
    fn exceeds(self, threshold: i128) -> bool {
        self.spent.saturating_mul(ONE) > self.amount.saturating_mul(threshold)
    }

    /// A budget of nothing is not reached by spending nothing.
    fn reaches(self, threshold: i128) -> bool {
        self.spent > 0 && self.spent.saturating_mul(ONE) >= self.amount.saturating_mul(threshold)
    }
}

/// A decimal of at most 18 digits before the point and 9 after it, in billionths.
fn billionths(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let all = format!("{whole}{fraction:0<9}");
    let number = all.bytes().all(|byte| byte.is_ascii_digit()).then_some(all)?;
    Some(sign * number.parse::<i128>().ok()?)
}
