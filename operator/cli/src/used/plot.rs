//! Use over time in one line.

use maru_meter::{Completeness, Exact};

use super::Row;

/// From an eighth of the most to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A letter for each time, as high as its use beside the most of the rows: `·` where nothing was used, `?` where it was not seen.
pub(super) fn plot(times: &[&str], rows: &[&Row]) -> String {
    let most = rows.iter().map(|row| &row.quantity).max();
    let letter = |time: &&str| match rows.iter().find(|row| row.time == *time) {
        Some(row) if row.completeness == Completeness::Missing => '?',
        Some(row) => most.and_then(|most| bar(&row.quantity, most)).unwrap_or('·'),
        None => '·',
    };
    times.iter().map(letter).collect()
}

fn bar(quantity: &Exact, most: &Exact) -> Option<char> {
    if quantity.is_zero() || quantity.is_negative() {
        return None;
    }
    let eight = quantity * &Exact::from(8u32);
    let fits = |level: &u32| eight <= most * &Exact::from(*level);
    let level = (1..=8).find(fits)?;
    BARS.get(level as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_is_as_high_as_its_use_beside_the_most_and_holes_are_shown() {
        let row = |time: &str, quantity: &str, completeness| Row {
            time: time.to_owned(),
            agency: None,
            system: None,
            meter: "cpu.reserved".to_owned(),
            quantity: quantity.parse().unwrap(),
            unit: "core-hour".to_owned(),
            completeness,
        };
        let rows = [
            row("01", "24", Completeness::Complete),
            row("02", "3", Completeness::Complete),
            row("03", "3.1", Completeness::Estimated),
            row("04", "0", Completeness::Missing),
            row("06", "0", Completeness::Complete),
        ];
        let rows: Vec<&Row> = rows.iter().collect();
        assert_eq!(plot(&["01", "02", "03", "04", "05", "06"], &rows), "█▁▂?··");
    }
}
