//! Currencies and their minor units, from ISO 4217.

use std::fmt;

use crate::refusal::Refusal;

/// A currency that amounts can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    places: u32,
}

impl Currency {
    /// A currency with as many decimals as any has: four.
    pub(crate) const WIDEST: &'static str = "CLF";

    /// The currency of an ISO 4217 code, such as `KRW`, read from `field`.
    pub fn read(field: &str, code: &str) -> Result<Self, Refusal> {
        let known = iso_currency::Currency::from_code(code);
        let exponent = known.and_then(iso_currency::Currency::exponent);
        match (known, exponent) {
            (Some(currency), Some(places)) => Ok(Self {
                code: currency.code(),
                places: u32::from(places),
            }),
            _ => Err(Refusal::new(
                field,
                format!("`{code}` is not a currency: allowed are ISO 4217 codes with a minor unit, such as KRW"),
            )),
        }
    }

    /// Such as `KRW`.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// Decimal places of its minor unit: KRW 0, EUR 2, KWD 3.
    pub fn places(self) -> u32 {
        self.places
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_are_those_of_iso_4217() {
        for (code, places) in [("KRW", 0), ("JPY", 0), ("EUR", 2), ("USD", 2), ("KWD", 3), ("BHD", 3)] {
            assert_eq!(
                Currency::read("spec.currency", code).unwrap().places(),
                places,
                "{code}"
            );
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for code in ["", "krw", "WON", "XAU", "KR"] {
            assert_eq!(
                Currency::read("spec.currency", code).unwrap_err().field,
                "spec.currency",
                "{code}"
            );
        }
    }
}
