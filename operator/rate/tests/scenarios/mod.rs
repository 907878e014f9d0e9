//! Random months.

use num_rational::BigRational as Q;
use proptest::prelude::*;

use crate::model::{End, Hall, Item, NoUsage, Price, Rules, Scenario, Use, q};
use crate::{DAY, END};

fn decimal(most: i64) -> impl Strategy<Value = Q> {
    (0..=most * 1000).prop_map(|thousandths| q(thousandths, 1000))
}

fn tier_list() -> impl Strategy<Value = Vec<(Option<Q>, Q, Q)>> {
    (
        prop::collection::btree_set(1i64..500_000, 0..4),
        prop::collection::vec((decimal(20), 0i64..50), 5),
    )
        .prop_map(|(bounds, prices)| {
            let bounds = bounds.into_iter().map(|bound| Some(q(bound, 1000))).chain([None]);
            bounds
                .zip(prices)
                .map(|(bound, (price, fee))| (bound, price, q(fee, 1)))
                .collect()
        })
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let prices = (
        decimal(50),
        decimal(300),
        tier_list(),
        tier_list(),
        1i64..5000,
        decimal(30),
        decimal(100),
    );
    (prices, any::<[bool; 4]>()).prop_map(|((price, included, graduated, volume, size, package, free), dollars)| {
        let prices = [
            Price::PerUnit { price, included },
            Price::Graduated(graduated),
            Price::Volume(volume),
            Price::Package {
                size: q(size, 100),
                price: package,
                included: free,
            },
        ];
        let items = ["m0", "m1", "m2", "m3"].into_iter().zip(prices).zip(dollars);
        items
            .map(|((meter, price), in_dollars)| Item {
                meter,
                in_dollars,
                price,
            })
            .collect()
    })
}

fn uses() -> impl Strategy<Value = Vec<Use>> {
    let system = prop::sample::select(vec!["a/s0", "b/s1", "c/s2"]);
    let meter = prop::sample::select(vec!["m0", "m1", "m2", "m3", "d"]);
    let agency = prop::sample::select(vec!["a", "b", "c"]);
    let one = (
        agency,
        system,
        meter,
        decimal(400),
        -2 * DAY..END + DAY,
        prop_oneof![Just(0i64), 1..3 * DAY, Just(3600i64)],
    );
    let made = one.prop_map(|(agency, system, meter, quantity, start, length)| {
        // The driver of a/s0 is used there only; elsewhere it would be a meter without a price.
        let system = if meter == "d" { "a/s0" } else { system };
        Use {
            agency,
            system,
            meter,
            quantity,
            start,
            end: start + length,
        }
    });
    prop::collection::vec(made, 0..25)
}

fn rules() -> impl Strategy<Value = Rules> {
    let no_usage = prop::sample::select(vec![NoUsage::ByWeight, NoUsage::Owner, NoUsage::CarryForward]);
    let end = prop::sample::select(vec![
        End::Never,
        End::Never,
        End::Before,
        End::Now(true),
        End::Now(false),
    ]);
    let hall = (0i64..100_000, prop::option::of(0i64..6), any::<bool>());
    let hall = hall.prop_map(|(monthly, capacity, platform_pays_idle)| Hall {
        monthly,
        capacity,
        platform_pays_idle,
    });
    let alone = (0i64..1_000_000, 1i64..20, 0i64..100_000);
    (
        no_usage,
        prop::option::of(decimal(20)),
        end,
        prop::option::of(hall),
        prop_oneof![Just(0i64), 1..5000i64],
        alone,
    )
        .prop_map(|(no_usage, standard_rate, end, hall, minimum, alone)| Rules {
            no_usage,
            standard_rate,
            end,
            hall,
            minimum,
            alone,
        })
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let changes = |most: usize| prop::collection::btree_set(1..END, 0..most);
    let starts =
        |first: i64, more: std::collections::BTreeSet<i64>| std::iter::once(first).chain(more).collect::<Vec<_>>();
    let prices = (changes(3), prop::collection::vec(items(), 3))
        .prop_map(move |(more, items)| starts(-DAY, more).into_iter().zip(items).collect::<Vec<_>>());
    let dollars = (changes(3), prop::collection::vec(1i64..2000, 3)).prop_map(move |(more, worths)| {
        starts(-DAY, more)
            .into_iter()
            .zip(worths.into_iter().map(|worth| q(worth * 10 + 1, 10)))
            .collect::<Vec<_>>()
    });
    let taxes = (changes(2), prop::collection::vec(0i64..250, 2)).prop_map(move |(more, rates)| {
        starts(-DAY, more)
            .into_iter()
            .zip(rates.into_iter().map(|rate| q(rate, 1000)))
            .collect::<Vec<_>>()
    });
    let joins = (0i64..5, -3i64..33, 1i64..40, 0i64..5, -3i64..33, 1i64..40).prop_map(|(wb, fb, lb, wc, fc, lc)| {
        vec![
            ("b", wb, fb * DAY, (fb + lb) * DAY),
            ("c", wc, fc * DAY, (fc + lc) * DAY),
        ]
    });
    let pool = (0i64..10_000_000, 0i64..10_000_000, rules())
        .prop_map(|(build, run, rules)| (vec![("Amortisation", build), ("Operations", run)], rules));
    (prices, dollars, taxes, 0i64..300, uses(), pool, 0i64..=1000, joins).prop_map(
        |(versions, dollars, taxes, support, uses, (pool, rules), fixed_share, joins)| Scenario {
            end: END,
            versions,
            dollars,
            taxes,
            support,
            uses,
            pool,
            fixed_share,
            joins,
            rules,
        },
    )
}
