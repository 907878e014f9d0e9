//! Sums of quantities, exact also where records were cut in proportion to time.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use maru_meter::{Completeness, Exact};

/// A sum of quantities. Parts of records are fractions with all kinds of denominators; adding those one to the next would
/// make the sum's denominator longer each time. They are collected by denominator and added once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Total {
    whole: Exact,
    parts: BTreeMap<NonZeroU64, Exact>,
    /// The least complete of what was added.
    pub(crate) completeness: Completeness,
}

impl Total {
    /// Adds a whole quantity.
    pub(crate) fn add(&mut self, quantity: &Exact, completeness: Completeness) {
        if self.whole.is_zero() {
            self.whole.clone_from(quantity);
        } else {
            self.whole += quantity;
        }
        self.completeness = self.completeness.max(completeness);
    }

    /// Adds `part / all` of a quantity.
    pub(crate) fn add_part(&mut self, quantity: &Exact, part: u64, all: NonZeroU64, completeness: Completeness) {
        let common = gcd(part, all.get());
        let (part, all) = (part / common, NonZeroU64::new(all.get() / common).unwrap_or(all));
        if all.get() == 1 {
            return self.add(&(quantity * &Exact::from(part)), completeness);
        }
        *self.parts.entry(all).or_default() += quantity * &Exact::from(part);
        self.completeness = self.completeness.max(completeness);
    }

    /// The sum of both.
    #[must_use]
    pub(crate) fn merged(mut self, other: &Self) -> Self {
        self.add(&other.whole, other.completeness);
        for (denominator, part) in &other.parts {
            *self.parts.entry(*denominator).or_default() += part;
        }
        self
    }

    /// The sum.
    pub(crate) fn value(&self) -> Exact {
        if self.parts.is_empty() {
            return self.whole.clone();
        }
        let parts: Vec<Exact> = self
            .parts
            .iter()
            .map(|(denominator, part)| part.over(*denominator))
            .collect();
        &self.whole + &balanced(&parts)
    }
}

/// Adds fractions in pairs of like length, which keeps the work near to linear.
fn balanced(parts: &[Exact]) -> Exact {
    match parts {
        [] => Exact::ZERO,
        [one] => one.clone(),
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            balanced(left) + balanced(right)
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
