//! Kubernetes quantities (`500m`, `1.5Gi`, `2e3`), read exactly.
//!
//! The grammar is the one of `k8s.io/apimachinery/pkg/api/resource`. The crates that read it go through floats or 96-bit
//! decimals, so it stands here: a number, then a binary suffix, a decimal suffix or a decimal exponent.

use crate::exact::Exact;

/// Why a Kubernetes quantity could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a Kubernetes quantity: allowed is a number with one of n u m k M G T P E, Ki Mi Gi Ti Pi Ei or an exponent such as e3"
)]
pub struct QuantityError(pub String);

/// Reads a quantity in its base unit: cores for CPU, bytes for memory.
pub fn parse(text: &str) -> Result<Exact, QuantityError> {
    let refused = || QuantityError(text.chars().take(60).collect());
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let number = whole_form(number).parse::<Exact>().map_err(|_| refused())?;
    let factor = suffix_factor(suffix).ok_or_else(refused)?;
    Ok(number * factor)
}

/// Kubernetes allows `.5` and `5.`, which [`Exact`] does not.
fn whole_form(number: &str) -> String {
    let number = number.strip_suffix('.').unwrap_or(number);
    match number.strip_prefix('.') {
        Some(part) => format!("0.{part}"),
        None => number.to_owned(),
    }
}

fn suffix_factor(suffix: &str) -> Option<Exact> {
    if let Some(power) = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
        .iter()
        .position(|known| *known == suffix)
    {
        return Some(Exact::from(1024).power(u32::try_from(power).ok()?));
    }
    let decimal = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        other => other
            .strip_prefix(['e', 'E'])?
            .parse::<i32>()
            .ok()
            .filter(|power| power.abs() <= 30)?,
    };
    if decimal < 0 {
        return Some(Exact::scaled(1, decimal.unsigned_abs()));
    }
    Some(Exact::from(10).power(decimal.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_of_the_grammar_is_read_exactly() {
        let table = [
            ("500m", "0.5"),
            ("1", "1"),
            ("0.1", "0.1"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+2", "2"),
            ("100u", "0.0001"),
            ("1n", "0.000000001"),
            ("2k", "2000"),
            ("1E", "1000000000000000000"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("15e-1", "1.5"),
            ("1Ki", "1024"),
            ("1.5Gi", "1610612736"),
            ("2Ei", "2305843009213693952"),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_by_name() {
        for text in ["", "m", "1x", "1 Gi", "Gi", "1gi", "1e", "1e99", "--1", "1.2.3", "1Ki2"] {
            assert_eq!(parse(text), Err(QuantityError(text.to_owned())), "{text}");
        }
    }
}
