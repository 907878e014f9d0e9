//! Exact numbers: quantities, prices, rates, shares and amounts.
//!
//! There is one number type in all rooms that touch money. It is a fraction of two integers of any size, so that adding,
//! multiplying and dividing never round and never overflow. Rounding happens where `BILLING.md` says that it does, by
//! [`Exact::round`], and nowhere else. See `docs/decisions/2026-11-24-decimals.md`.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};
use std::str::FromStr;

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits that are read before or after the decimal point. It bounds what a file can make the engine chew on.
pub const MAX_DIGITS: usize = 40;

/// Decimal places that are shown of a number that has no end, such as a third.
pub const SHOWN_PLACES: u32 = 28;

/// How a number becomes one with fewer places. The names and their meaning for negative numbers are those that the field
/// knows from `java.math.RoundingMode`: a credit mirrors the charge it takes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// To the nearest; a half goes away from zero.
    #[default]
    HalfUp,
    /// To the nearest; a half goes to the even neighbour.
    HalfEven,
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// Why a text is not a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExactError {
    /// The text is something else than digits with at most one point.
    #[error("`{0}` is not a decimal number: allowed are digits, one point and a leading minus, such as \"42.5\"")]
    Form(String),
    /// More digits than are read.
    #[error("`{0}` has too many digits: allowed are {MAX_DIGITS} before and {MAX_DIGITS} after the point")]
    Digits(String),
}

/// An exact number. Reads and writes itself as a decimal string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(RBig);

impl Exact {
    /// Nothing.
    pub const ZERO: Self = Self(RBig::ZERO);
    /// One.
    pub const ONE: Self = Self(RBig::ONE);

    /// `numerator / denominator`; nothing when the denominator is zero.
    pub fn ratio(numerator: impl Into<IBig>, denominator: impl Into<IBig>) -> Option<Self> {
        let denominator = denominator.into();
        if denominator == IBig::ZERO {
            return None;
        }
        Some(Self(RBig::from_parts_signed(numerator.into(), denominator)))
    }

    /// `mantissa / 10^places`, such as 12345 with 2 places for 123.45.
    pub fn scaled(mantissa: impl Into<IBig>, places: u32) -> Self {
        Self(RBig::from_parts(mantissa.into(), power_of_ten(places)))
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// True below zero.
    pub fn is_negative(&self) -> bool {
        self.0 < RBig::ZERO
    }

    /// The quotient; nothing when the divisor is zero.
    pub fn checked_div(&self, divisor: &Self) -> Option<Self> {
        if divisor.is_zero() {
            return None;
        }
        Some(Self(&self.0 / &divisor.0))
    }

    /// The quotient by a whole number that cannot be zero.
    #[must_use]
    pub fn over(&self, divisor: NonZeroU64) -> Self {
        Self(&self.0 / RBig::from(divisor.get()))
    }

    /// This number to the power of a whole exponent.
    #[must_use]
    pub fn power(&self, exponent: u32) -> Self {
        let mut result = Self::ONE;
        let mut base = self.clone();
        let mut left = exponent;
        while left > 0 {
            if left % 2 == 1 {
                result = &result * &base;
            }
            base = &base * &base;
            left /= 2;
        }
        result
    }

    /// The largest whole number that is not above this one.
    pub fn floor(&self) -> IBig {
        self.0.floor()
    }

    /// The smallest whole number that is not below this one.
    pub fn ceil(&self) -> IBig {
        self.0.ceil()
    }

    /// This number in units of `10^-places`, rounded to a whole number of them.
    pub fn units(&self, places: u32, mode: Rounding) -> IBig {
        let scaled = &self.0 * RBig::from(power_of_ten(places));
        let towards_zero = scaled.trunc();
        let rest = &scaled - RBig::from(towards_zero.clone());
        if rest.is_zero() {
            return towards_zero;
        }
        let negative = rest < RBig::ZERO;
        let twice = if negative { -&rest - &rest } else { &rest + &rest };
        let away = match mode {
            Rounding::Down => false,
            Rounding::Up => true,
            Rounding::HalfUp => twice >= RBig::ONE,
            Rounding::HalfEven => {
                twice > RBig::ONE || (twice == RBig::ONE && &towards_zero % IBig::from(2) != IBig::ZERO)
            }
        };
        match (away, negative) {
            (false, _) => towards_zero,
            (true, false) => towards_zero + IBig::ONE,
            (true, true) => towards_zero - IBig::ONE,
        }
    }

    /// This number rounded to `places` after the point.
    #[must_use]
    pub fn round(&self, places: u32, mode: Rounding) -> Self {
        Self::scaled(self.units(places, mode), places)
    }

    /// The numerator in lowest terms; it carries the sign.
    pub fn numerator(&self) -> &IBig {
        self.0.numerator()
    }

    /// The denominator in lowest terms.
    pub fn denominator(&self) -> &UBig {
        self.0.denominator()
    }

    /// Text with exactly `places` after the point, for columns that line up. The number is rounded half up.
    pub fn to_fixed(&self, places: u32) -> String {
        point(&self.units(places, Rounding::HalfUp), places)
    }

    /// How many places its decimal form has; nothing when it has no end.
    pub fn places(&self) -> Option<u32> {
        let mut rest = self.0.denominator().clone();
        let (mut twos, mut fives) = (0, 0);
        while &rest % 2u8 == 0 {
            rest /= 2u8;
            twos += 1;
        }
        while &rest % 5u8 == 0 {
            rest /= 5u8;
            fives += 1;
        }
        (rest == UBig::ONE).then_some(std::cmp::max(twos, fives))
    }
}

fn power_of_ten(places: u32) -> UBig {
    UBig::from(10u8).pow(places as usize)
}

/// Writes a count of `10^-places` with its point.
fn point(units: &IBig, places: u32) -> String {
    let text = units.to_string();
    if places == 0 {
        return text;
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let width = places as usize + 1;
    let padded = format!("{digits:0>width$}");
    let (whole, part) = padded.split_at(padded.len() - places as usize);
    format!("{sign}{whole}.{part}")
}

impl Default for Exact {
    fn default() -> Self {
        Self::ZERO
    }
}

impl FromStr for Exact {
    type Err = ExactError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) {
            return Err(ExactError::Form(text.chars().take(60).collect()));
        }
        if whole.len() > MAX_DIGITS || part.len() > MAX_DIGITS {
            return Err(ExactError::Digits(text.chars().take(60).collect()));
        }
        let part = if digits.contains('.') { part } else { "" };
        let places = u32::try_from(part.len()).unwrap_or(0);
        let mantissa = mantissa(whole, part).ok_or_else(|| ExactError::Form(text.to_owned()))?;
        Ok(Self::scaled(if negative { -mantissa } else { mantissa }, places))
    }
}

/// The digits as one whole number; machine integers as far as they reach.
fn mantissa(whole: &str, part: &str) -> Option<IBig> {
    if whole.len() + part.len() <= 38 {
        let digits = whole.bytes().chain(part.bytes());
        return Some(IBig::from(
            digits.fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0')),
        ));
    }
    IBig::from_str_radix(&format!("{whole}{part}"), 10).ok()
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.places() {
            Some(places) => point(&self.units(places, Rounding::Down), places),
            None => point(&self.units(SHOWN_PLACES, Rounding::HalfUp), SHOWN_PLACES),
        };
        f.pad_integral(true, "", &text)
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait<&Exact> for &Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                Exact($trait::$method(&self.0, &other.0))
            }
        }
        impl $trait<Exact> for Exact {
            type Output = Exact;
            fn $method(self, other: Exact) -> Exact {
                Exact($trait::$method(self.0, other.0))
            }
        }
        impl $trait<&Exact> for Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                Exact($trait::$method(self.0, &other.0))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);

impl Neg for Exact {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Neg for &Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        Exact(-&self.0)
    }
}

impl AddAssign<&Exact> for Exact {
    fn add_assign(&mut self, other: &Exact) {
        self.0 += &other.0;
    }
}

impl AddAssign for Exact {
    fn add_assign(&mut self, other: Exact) {
        self.0 += other.0;
    }
}

impl SubAssign<&Exact> for Exact {
    fn sub_assign(&mut self, other: &Exact) {
        self.0 -= &other.0;
    }
}

macro_rules! whole {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Exact {
            fn from(number: $integer) -> Self {
                Self(RBig::from(number))
            }
        }
    )*};
}
whole!(i32, u32, i64, u64, i128, IBig);

/// A whole number that is not zero, for constants: it is checked while compiling.
///
/// # Panics
/// When the number is zero, which in a constant is a compiler error.
pub const fn non_zero(number: u64) -> NonZeroU64 {
    assert!(number > 0, "a divisor is not zero");
    match NonZeroU64::new(number) {
        Some(number) => number,
        None => NonZeroU64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        text.parse().unwrap()
    }

    #[test]
    fn a_number_is_written_as_it_was_read() {
        for text in [
            "0",
            "1",
            "-1",
            "42.5",
            "0.0005",
            "-0.07",
            "123456789012345678901234567890.1234567890123456789012345678",
        ] {
            assert_eq!(exact(text).to_string(), text);
        }
        assert_eq!(exact("1.50").to_string(), "1.5");
        assert_eq!(exact("007").to_string(), "7");
    }

    #[test]
    fn what_is_not_a_decimal_is_refused_with_what_is_allowed() {
        for text in [
            "", "-", ".", "1.", ".5", "1e3", "+1", "1,5", " 1", "NaN", "0x1", "1.2.3", "--1", "١",
        ] {
            assert!(matches!(text.parse::<Exact>(), Err(ExactError::Form(_))), "{text}");
        }
        assert!(matches!("1".repeat(41).parse::<Exact>(), Err(ExactError::Digits(_))));
    }

    #[test]
    fn twenty_eight_digits_times_twenty_eight_digits_are_all_there() {
        let product = exact("1234567890123456789012345678") * exact("0.1234567890123456789012345677");
        assert_eq!(
            product.to_string(),
            "152415787532388367504953515.2796829786404511510752934006"
        );
    }

    #[test]
    fn a_third_three_times_is_one() {
        let third = Exact::ratio(1, 3).unwrap();
        assert_eq!(third.to_string(), "0.3333333333333333333333333333");
        assert_eq!(&(&third + &third) + &third, Exact::ONE);
        assert_eq!(third.places(), None);
    }

    #[test]
    fn each_rounding_mode_at_and_around_the_half() {
        let table = [
            // number, HalfUp, HalfEven, Down, Up
            ("0.5", "1", "0", "0", "1"),
            ("1.5", "2", "2", "1", "2"),
            ("2.5", "3", "2", "2", "3"),
            ("2.51", "3", "3", "2", "3"),
            ("2.49", "2", "2", "2", "3"),
            ("-0.5", "-1", "0", "0", "-1"),
            ("-2.5", "-3", "-2", "-2", "-3"),
            ("-2.4", "-2", "-2", "-2", "-3"),
            ("7", "7", "7", "7", "7"),
        ];
        for (number, half_up, half_even, down, up) in table {
            let round = |mode| exact(number).round(0, mode).to_string();
            let got = (
                round(Rounding::HalfUp),
                round(Rounding::HalfEven),
                round(Rounding::Down),
                round(Rounding::Up),
            );
            assert_eq!(
                got,
                (half_up.into(), half_even.into(), down.into(), up.into()),
                "{number}"
            );
        }
        assert_eq!(exact("1.0049999").round(2, Rounding::HalfUp).to_string(), "1");
        assert_eq!(exact("1.005").round(2, Rounding::HalfUp).to_string(), "1.01");
        assert_eq!(exact("-0.004").to_fixed(2), "0.00");
        assert_eq!(exact("-0.005").to_fixed(2), "-0.01");
    }
}
