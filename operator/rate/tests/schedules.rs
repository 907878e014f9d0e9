//! Random builds: what is written off each month, worked out a second time from the formulas of the billing rules with other numbers.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use maru_crds::{Build, DepreciationMethod};
use maru_meter::{Exact, Rounding};
use maru_rate::Currency;
use maru_rate::amortise::Tranche;
use num_bigint::BigInt;
use num_rational::BigRational as Q;
use proptest::prelude::*;

fn q(numerator: i64, denominator: i64) -> Q {
    Q::new(numerator.into(), denominator.into())
}

/// Half away from zero.
fn minor(amount: &Q) -> BigInt {
    amount.round().to_integer()
}

/// Payment, interest, principal, capital charge and closing book value of each month, in minor units.
type Rows = Vec<[BigInt; 5]>;

fn straight_line(amount: i64, residual: i64, months: i64, thousandths: i64) -> Rows {
    let cost = BigInt::from(amount - residual);
    let until = |month: i64| q(1, months) * Q::from_integer(&cost * BigInt::from(month));
    let row = |month: i64| {
        let written_off = until(month - 1).floor().to_integer();
        let principal = until(month).floor().to_integer() - &written_off;
        let opening = BigInt::from(amount) - written_off;
        let charge = minor(&(Q::from_integer(opening.clone()) * q(thousandths, 12_000)));
        [
            &principal + &charge,
            BigInt::from(0),
            principal.clone(),
            charge,
            opening - principal,
        ]
    };
    (1..=months).map(row).collect()
}

fn annuity(amount: i64, residual: i64, months: i64, thousandths: i64) -> Rows {
    if thousandths == 0 {
        return straight_line(amount, residual, months, 0);
    }
    let rate = q(thousandths, 12_000);
    let discount = (0..months).fold(q(1, 1), |discount, _| discount / (q(1, 1) + &rate));
    let worth = q(amount, 1) - q(residual, 1) * &discount;
    let payment = minor(&(worth * &rate / (q(1, 1) - discount)));
    let mut opening = BigInt::from(amount);
    let mut rows = Rows::new();
    for month in 1..=months {
        let interest = minor(&(Q::from_integer(opening.clone()) * &rate));
        let principal = if month == months {
            &opening - BigInt::from(residual)
        } else {
            &payment - &interest
        };
        opening -= &principal;
        rows.push([
            &principal + &interest,
            interest,
            principal,
            BigInt::from(0),
            opening.clone(),
        ]);
    }
    rows
}

fn written(minor: i64, places: u32) -> String {
    Exact::scaled(minor, places).to_string()
}

/// How many random cases are tried; `PROPTEST_CASES` asks for more.
fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(default),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn every_month_of_every_build_is_what_the_formulas_say(
        amount in 0i64..1_000_000_000,
        percent in 0i64..=100,
        months in 1i64..=48,
        thousandths in 0i64..=400,
        is_annuity: bool,
        (code, places) in prop::sample::select(vec![("KRW", 0u32), ("EUR", 2), ("KWD", 3)]),
    ) {
        let residual = amount / 100 * percent;
        let build = Build {
            name: "build".to_owned(),
            amount: written(amount, places),
            residual: written(residual, places),
            in_service_date: "2026-02-01".to_owned(),
            months: i32::try_from(months).unwrap(),
            method: if is_annuity { DepreciationMethod::Annuity } else { DepreciationMethod::StraightLine },
            annual_rate: Some(written(thousandths, 3)),
        };
        let tranche = Tranche::read("build", &build, Currency::read("currency", code).unwrap()).unwrap();
        let rows = tranche.schedule(Rounding::HalfUp).into_iter();
        let rows: Rows = rows
            .map(|row| {
                let figures = [row.payment, row.interest, row.principal, row.capital_charge, row.closing];
                figures.map(|figure| (&figure * &Exact::from(10i64.pow(places))).to_string().parse().unwrap())
            })
            .collect();
        let expected = if is_annuity {
            annuity(amount, residual, months, thousandths)
        } else {
            straight_line(amount, residual, months, thousandths)
        };
        prop_assert_eq!(rows, expected);
    }
}
