//! Random months, booked: debits are credits, and what agencies owe is what was billed.

use std::collections::BTreeMap;

use maru_ledger::Ledger;
use maru_meter::Exact;
use proptest::prelude::*;

use crate::place::{CARD, Place, inputs, issue, rated_with};

fn months() -> impl Strategy<Value = (bool, String, String, Vec<(String, String)>)> {
    let use_of =
        ("[a-e]", 0u32..100_000, 0u32..1000).prop_map(|(agency, whole, part)| (agency, format!("{whole}.{part:03}")));
    let price = (0u32..1000, 0u32..10_000).prop_map(|(whole, part)| format!("{whole}.{part:04}"));
    let currency = prop::sample::select(vec!["KRW", "EUR", "KWD"]).prop_map(str::to_owned);
    (any::<bool>(), currency, price, prop::collection::vec(use_of, 0..12))
}

fn holds(ledger: &mut Ledger, at_bill: bool, currency: &str, price: &str, uses: &[(String, String)]) {
    let rounding = if at_bill {
        "rounding: {at: Bill}\nversions:"
    } else {
        "versions:"
    };
    let card = CARD
        .replace("versions:", rounding)
        .replace("'10'", &format!("'{price}'"))
        .replace("KRW", currency);
    let rated = rated_with(&card, "2026-10", uses);
    let pages = ledger.issue(&rated, &issue(&inputs())).unwrap();
    let mut accounts: BTreeMap<String, Exact> = BTreeMap::new();
    for page in &pages {
        assert_eq!(
            page.entries().iter().map(|entry| i128::from(entry.units)).sum::<i128>(),
            0
        );
        for entry in page.entries() {
            *accounts.entry(entry.account.to_string()).or_default() += Exact::scaled(entry.units, page.places());
        }
    }
    assert_eq!(accounts.values().sum::<Exact>(), Exact::ZERO);
    for statement in rated.statements() {
        assert_eq!(
            ledger
                .balance(&format!("payable:{}", statement.agency), currency)
                .unwrap(),
            statement.total
        );
    }
    let tax: Exact = rated.statements().iter().map(|statement| &statement.tax).sum();
    assert_eq!(ledger.balance("tax:VAT", currency).unwrap(), -&tax);
    for (account, sum) in &accounts {
        assert_eq!(ledger.balance(account, currency).unwrap(), *sum, "{account}");
    }
    assert!(ledger.verify().unwrap().agrees());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_months_balance_in_a_file((at_bill, currency, price, uses) in months()) {
        holds(&mut Ledger::in_memory().unwrap(), at_bill, &currency, &price, &uses);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_months_balance_on_a_server((at_bill, currency, price, uses) in months()) {
        holds(&mut Place::postgres().open(), at_bill, &currency, &price, &uses);
    }
}
