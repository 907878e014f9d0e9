//! The exact numbers against an independent crate.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use maru_meter::{Exact, Rounding};
use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

fn pair() -> impl Strategy<Value = (Exact, BigRational)> {
    (any::<i128>(), 1u64.., 0u32..30).prop_map(|(numerator, denominator, places)| {
        let denominator = i128::from(denominator);
        let exact = Exact::ratio(numerator, denominator).unwrap() * Exact::scaled(1, places);
        let scale = BigInt::from(10).pow(places) * BigInt::from(denominator);
        (exact, BigRational::new(numerator.into(), scale))
    })
}

/// Both as text in lowest terms.
fn same(exact: &Exact, other: &BigRational) -> bool {
    exact.numerator().to_string() == other.numer().to_string()
        && exact.denominator().to_string() == other.denom().to_string()
}

proptest! {
    #[test]
    fn sums_differences_products_and_quotients_agree((a, ra) in pair(), (b, rb) in pair()) {
        prop_assert!(same(&(&a + &b), &(&ra + &rb)));
        prop_assert!(same(&(&a - &b), &(&ra - &rb)));
        prop_assert!(same(&(&a * &b), &(&ra * &rb)));
        if let Some(quotient) = a.checked_div(&b) {
            prop_assert!(same(&quotient, &(&ra / &rb)));
        }
        prop_assert_eq!(a.cmp(&b), ra.cmp(&rb));
    }

    #[test]
    fn rounding_agrees((a, ra) in pair(), places in 0u32..8) {
        let scale = BigRational::from_integer(BigInt::from(10).pow(places));
        let scaled = &ra * &scale;
        prop_assert!(same(&a.round(places, Rounding::HalfUp), &(scaled.round() / &scale))); // its half goes away from zero
        prop_assert!(same(&a.round(places, Rounding::Down), &(scaled.trunc() / &scale)));
    }

    #[test]
    fn what_is_written_reads_back(mantissa: i128, places in 0u32..38) {
        let number = Exact::scaled(mantissa, places);
        prop_assert_eq!(number.to_string().parse::<Exact>().unwrap(), number);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,60}") {
        let _ = text.parse::<Exact>();
        let _ = maru_meter::quantity::parse(&text);
    }
}
