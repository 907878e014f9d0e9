//! Sums of many numbers.

use std::iter::Sum;

use crate::exact::Exact;

/// A sum that is reduced once, at its end. Adding fractions one to the next reduces each time, which is most of the work where a million
/// quantities are added; machine integers do it as far as they reach.
#[derive(Clone, Copy)]
struct Running {
    numerator: i128,
    denominator: i128,
}

impl Running {
    const ZERO: Self = Self {
        numerator: 0,
        denominator: 1,
    };

    /// The sum with one more; none where it does not fit.
    fn plus(self, number: &Exact) -> Option<Self> {
        let numerator = i128::try_from(number.numerator()).ok()?;
        let denominator = i128::try_from(number.denominator()).ok()?;
        if denominator == self.denominator {
            let numerator = self.numerator.checked_add(numerator)?;
            return Some(Self { numerator, ..self });
        }
        // Decimals have denominators that divide one another mostly; what does not is left to the exact numbers.
        if self.denominator % denominator == 0 {
            let numerator = numerator.checked_mul(self.denominator / denominator)?;
            let numerator = self.numerator.checked_add(numerator)?;
            return Some(Self { numerator, ..self });
        }
        if denominator % self.denominator == 0 {
            let sum = self.numerator.checked_mul(denominator / self.denominator)?;
            let numerator = sum.checked_add(numerator)?;
            return Some(Self { numerator, denominator });
        }
        None
    }

    fn value(self) -> Exact {
        match self.denominator {
            1 => Exact::from(self.numerator),
            denominator => Exact::ratio(self.numerator, denominator).unwrap_or_default(),
        }
    }
}

/// What is summed already, and what runs.
struct Both {
    settled: Exact,
    running: Running,
}

impl Both {
    fn add(mut self, number: &Exact) -> Self {
        if let Some(running) = self.running.plus(number) {
            self.running = running;
            return self;
        }
        let settled = &self.settled + &self.running.value();
        match Running::ZERO.plus(number) {
            Some(running) => Self { settled, running },
            None => Self {
                settled: settled + number,
                running: Running::ZERO,
            },
        }
    }

    fn value(self) -> Exact {
        if self.settled.is_zero() {
            return self.running.value();
        }
        self.settled + self.running.value()
    }
}

const NOTHING: Both = Both {
    settled: Exact::ZERO,
    running: Running::ZERO,
};

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(NOTHING, |sum, number| sum.add(&number)).value()
    }
}

impl<'a> Sum<&'a Exact> for Exact {
    fn sum<I: Iterator<Item = &'a Self>>(numbers: I) -> Self {
        numbers.fold(NOTHING, Both::add).value()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of all sizes: decimals, fractions without an end, and ones that no machine integer holds.
    fn number() -> impl Strategy<Value = Exact> {
        let decimal = (any::<i64>(), 0..12u32).prop_map(|(units, places)| Exact::scaled(units, places));
        let fraction = (any::<i32>(), 1..10_000i64).prop_map(|(above, below)| Exact::ratio(above, below).unwrap());
        let large = (any::<i128>(), 0..40u32).prop_map(|(units, places)| Exact::scaled(units, places));
        prop_oneof![6 => decimal, 2 => fraction, 1 => large]
    }

    proptest! {
        #[test]
        fn a_sum_is_what_adding_one_to_the_next_gives(numbers in prop::collection::vec(number(), 0..40)) {
            let slow = numbers.iter().fold(Exact::ZERO, |sum, number| sum + number);
            prop_assert_eq!(numbers.iter().sum::<Exact>(), slow.clone());
            prop_assert_eq!(numbers.into_iter().sum::<Exact>(), slow);
        }
    }
}
