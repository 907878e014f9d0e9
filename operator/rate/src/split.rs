//! Splitting an amount so that the parts sum to it.

use dashu_int::ops::{DivRemEuclid, Gcd};
use dashu_int::{IBig, UBig};
use maru_meter::{Exact, Rounding};

/// Splits `amount`, a whole number of units of `10^-places`, among weights by largest remainder: floors first, then one unit each to the
/// largest remainders, ties to the earlier weight. Weights come in the byte order of their keys and are not negative; where
/// all are zero the first one gets everything. No weights, no parts.
///
/// # Panics
/// When the parts do not sum to the amount, which would be a mistake in this function.
pub fn largest_remainder(amount: &Exact, places: u32, weights: &[Exact]) -> Vec<Exact> {
    if weights.is_empty() {
        return Vec::new();
    }
    let units = amount.units(places, Rounding::HalfUp);
    let parts = split_units(&units, weights);
    let sum: IBig = parts.iter().fold(IBig::ZERO, |sum, part| sum + part);
    assert_eq!(sum, units, "the parts of a split sum to what was split");
    parts.into_iter().map(|part| Exact::scaled(part, places)).collect()
}

fn split_units(units: &IBig, weights: &[Exact]) -> Vec<IBig> {
    let weights = whole_weights(weights);
    let total: IBig = weights.iter().fold(IBig::ZERO, |sum, weight| sum + weight);
    let mut parts = vec![IBig::ZERO; weights.len()];
    if total == IBig::ZERO {
        parts[0].clone_from(units);
        return parts;
    }
    // A credit mirrors the charge that it takes back.
    let negative = *units < IBig::ZERO;
    let size = if negative { -units } else { units.clone() };
    let turned = total < IBig::ZERO;
    let divisor = if turned { -total } else { total };
    let mut left = size.clone();
    let mut remainders = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let share = if turned { -(&size * weight) } else { &size * weight };
        let (floor, remainder) = share.div_rem_euclid(&divisor);
        left -= &floor;
        parts[index] = floor;
        remainders.push((remainder, index));
    }
    remainders.sort_by(|(a, i), (b, j)| b.cmp(a).then(i.cmp(j)));
    for (_, index) in remainders.into_iter().take(usize::try_from(left).unwrap_or_default()) {
        parts[index] += IBig::ONE;
    }
    if negative {
        parts.into_iter().map(|part| -part).collect()
    } else {
        parts
    }
}

/// The same weights as whole numbers.
fn whole_weights(weights: &[Exact]) -> Vec<IBig> {
    let mut common = UBig::ONE;
    for weight in weights {
        let denominator = weight.denominator();
        if !(&common % denominator).is_zero() {
            common = &common / (&common).gcd(denominator) * denominator;
        }
    }
    weights
        .iter()
        .map(|weight| weight.numerator() * IBig::from(&common / weight.denominator()))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(amount: &str, places: u32, weights: &[&str]) -> Vec<String> {
        let weights: Vec<Exact> = weights.iter().map(|w| w.parse().unwrap()).collect();
        largest_remainder(&amount.parse().unwrap(), places, &weights)
            .iter()
            .map(Exact::to_string)
            .collect()
    }

    #[test]
    fn the_worked_examples_of_the_billing_rules() {
        assert_eq!(parts("10000", 0, &["1", "1", "1"]), ["3334", "3333", "3333"]);
        assert_eq!(parts("2000000", 0, &["7", "11", "13"]), ["451613", "709677", "838710"]);
    }

    #[test]
    fn one_unit_goes_to_the_largest_remainder_and_a_tie_to_the_smaller_key() {
        assert_eq!(parts("1", 0, &["1", "1", "1"]), ["1", "0", "0"]);
        assert_eq!(parts("1", 0, &["1", "2", "1"]), ["0", "1", "0"]);
        assert_eq!(parts("0.01", 2, &["0.5", "0.5"]), ["0.01", "0"]);
        assert_eq!(parts("0.005", 3, &["1", "1"]), ["0.003", "0.002"]);
    }

    #[test]
    fn a_credit_mirrors_the_charge() {
        assert_eq!(parts("-10000", 0, &["1", "1", "1"]), ["-3334", "-3333", "-3333"]);
    }

    #[test]
    fn without_any_weight_the_first_gets_it_all() {
        assert_eq!(parts("7", 0, &["0", "0"]), ["7", "0"]);
        assert_eq!(parts("7", 0, &[]), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn every_part_is_within_one_unit_of_its_exact_share(
            units in -1_000_000_000i64..1_000_000_000,
            weights in prop::collection::vec((0u32..1000, 1u32..50), 1..30),
        ) {
            let weights: Vec<Exact> = weights.iter().map(|(n, d)| Exact::ratio(*n, *d).unwrap()).collect();
            let total: Exact = weights.iter().sum();
            let amount = Exact::from(units);
            let parts = largest_remainder(&amount, 0, &weights);
            prop_assert_eq!(parts.iter().sum::<Exact>(), amount.clone());
            if !total.is_zero() {
                for (part, weight) in parts.iter().zip(&weights) {
                    let off = (part - &(&amount * weight).checked_div(&total).unwrap()).round(20, Rounding::Down);
                    prop_assert!(off < Exact::ONE && -&off < Exact::ONE);
                }
            }
        }
    }
}
