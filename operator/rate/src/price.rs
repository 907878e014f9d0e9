//! What a quantity costs under each pricing model.

use maru_meter::Exact;

use crate::book::{Price, Tier};

/// What an agency has used of an item so far in the period. It carries over from one segment of the period to the next.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// Units so far, over all versions.
    used: Exact,
    /// Included units that were used up.
    included_used: Exact,
    /// Whether anything was recorded so far, be it a quantity of zero: then the first tier was entered.
    entered: bool,
    /// Units after the included ones, in the version that packages are counted in.
    packed: Exact,
    /// That version.
    packed_in: Option<usize>,
}

impl Position {
    /// The exact amount, in the item's currency, of the next `quantity` in a version of the item, and moves on by it.
    /// `whole` is the quantity of the whole period, by which `Volume` is looked up.
    pub fn charge(&mut self, price: &Price, version: usize, quantity: &Exact, whole: &Exact) -> Exact {
        let before = self.used.clone();
        let after = &before + quantity;
        let entered = std::mem::replace(&mut self.entered, true);
        self.used = after.clone();
        match price {
            Price::PerUnit { unit_price, included } => &self.beyond(included, quantity) * unit_price,
            Price::Graduated(tiers) => graduated(tiers, &before, &after, entered),
            Price::Volume(tiers) => volume(tiers, quantity, whole, entered),
            Price::Package { size, price, included } => {
                let billable = self.beyond(included, quantity);
                &self.packages(version, &billable, size) * price
            }
        }
    }

    /// The part of the quantity that is beyond the included units, which it uses up.
    fn beyond(&mut self, included: &Exact, quantity: &Exact) -> Exact {
        let left = (included - &self.included_used).max(Exact::ZERO);
        let free = left.min(quantity.clone());
        self.included_used += &free;
        quantity - &free
    }

    /// Packages that the quantity opens. Inside a version a package that was opened is filled before the next one.
    fn packages(&mut self, version: usize, quantity: &Exact, size: &Exact) -> Exact {
        if self.packed_in != Some(version) {
            self.packed_in = Some(version);
            self.packed = Exact::ZERO;
        }
        let count = |units: &Exact| Exact::from(units.checked_div(size).unwrap_or_default().ceil());
        let before = count(&self.packed);
        self.packed += quantity;
        count(&self.packed) - before
    }
}

/// Units from `before` to `after`, each at its tier's price, with the fee of every tier that they enter.
fn graduated(tiers: &[Tier], before: &Exact, after: &Exact, entered: bool) -> Exact {
    let mut amount = Exact::ZERO;
    let mut low = Exact::ZERO;
    for (index, tier) in tiers.iter().enumerate() {
        let from = before.max(&low);
        let to = tier.up_to.as_ref().map_or(after, |up_to| up_to.min(after));
        if from < to {
            amount += &(to - from) * &tier.unit_price;
        }
        // A bound belongs to the tier below it: the tier above is entered by what lies beyond.
        let was_entered = if index == 0 { entered } else { *before > low };
        let is_entered = index == 0 || *after > low;
        if is_entered && !was_entered {
            amount += &tier.flat_fee;
        }
        match &tier.up_to {
            Some(up_to) => low = up_to.clone(),
            None => break,
        }
    }
    amount
}

/// All units at the price of the tier that holds the whole quantity. Its fee is due once in a period.
fn volume(tiers: &[Tier], quantity: &Exact, whole: &Exact, entered: bool) -> Exact {
    let holds = |tier: &&Tier| tier.up_to.as_ref().is_none_or(|up_to| whole <= up_to);
    let Some(tier) = tiers.iter().find(holds) else {
        return Exact::ZERO;
    };
    let amount = quantity * &tier.unit_price;
    if entered { amount } else { &amount + &tier.flat_fee }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        text.parse().unwrap()
    }

    fn tiers() -> Vec<Tier> {
        let tier = |up_to: Option<&str>, unit_price: &str, flat_fee: &str| Tier {
            up_to: up_to.map(exact),
            unit_price: exact(unit_price),
            flat_fee: exact(flat_fee),
        };
        vec![
            tier(Some("10"), "5", "1"),
            tier(Some("20.5"), "4", "7"),
            tier(None, "3", "100"),
        ]
    }

    /// The amounts of quantities that come one after the other, in one version.
    fn amounts(price: &Price, quantities: &[&str]) -> Vec<String> {
        let whole: Exact = quantities.iter().map(|q| exact(q)).sum();
        let mut position = Position::default();
        quantities
            .iter()
            .map(|q| position.charge(price, 0, &exact(q), &whole).to_string())
            .collect()
    }

    #[test]
    fn per_unit_after_the_included_units() {
        let price = Price::PerUnit {
            unit_price: exact("2.5"),
            included: exact("100"),
        };
        assert_eq!(amounts(&price, &["99.5"]), ["0"]);
        assert_eq!(amounts(&price, &["100"]), ["0"]);
        assert_eq!(amounts(&price, &["101"]), ["2.5"]);
        assert_eq!(amounts(&price, &["60", "60", "1"]), ["0", "50", "2.5"]);
    }

    #[test]
    fn graduated_at_and_around_each_bound() {
        let price = Price::Graduated(tiers());
        let table = [
            ("0", "1"),      // the first tier's fee
            ("10", "51"),    // 10×5 + 1
            ("10.5", "60"),  // + 0.5×4 + 7
            ("20.5", "100"), // 51 + 10.5×4 + 7
            ("21", "201.5"), // + 0.5×3 + 100
        ];
        for (quantity, amount) in table {
            assert_eq!(amounts(&price, &[quantity]), [amount], "{quantity}");
        }
        assert_eq!(
            amounts(&price, &["0", "10", "0", "0.5", "10.5"]),
            ["1", "50", "0", "9", "141.5"]
        );
    }

    #[test]
    fn volume_looks_up_the_whole_quantity_and_takes_the_fee_once() {
        let price = Price::Volume(tiers());
        for (quantity, amount) in [
            ("0", "1"),
            ("10", "51"),
            ("10.01", "47.04"),
            ("20.5", "89"),
            ("30", "190"),
        ] {
            assert_eq!(amounts(&price, &[quantity]), [amount], "{quantity}");
        }
        assert_eq!(amounts(&price, &["5", "10"]), ["27", "40"]);
    }

    #[test]
    fn packages_are_whole_and_one_that_was_opened_is_filled_first() {
        let price = Price::Package {
            size: exact("1000"),
            price: exact("3"),
            included: exact("500"),
        };
        for (quantity, amount) in [("0", "0"), ("500", "0"), ("500.1", "3"), ("1500", "3"), ("1501", "6")] {
            assert_eq!(amounts(&price, &[quantity]), [amount], "{quantity}");
        }
        assert_eq!(amounts(&price, &["600", "800", "200"]), ["3", "0", "3"]);
    }

    #[test]
    fn a_new_version_counts_its_own_packages_but_not_the_included_units_again() {
        let price = Price::Package {
            size: exact("10"),
            price: exact("1"),
            included: exact("5"),
        };
        let mut position = Position::default();
        let whole = exact("12");
        assert_eq!(position.charge(&price, 0, &exact("6"), &whole).to_string(), "1");
        assert_eq!(position.charge(&price, 1, &exact("6"), &whole).to_string(), "1");
    }
}
