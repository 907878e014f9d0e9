//! Columns of words and figures for the terminal.

use unicode_width::UnicodeWidthStr;

/// What is left of a name at least, in columns of the terminal.
const LEAST_NAME: usize = 8;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// To the left, whole.
    Left,
    /// To the left, and cut where there is no room.
    Name,
    /// To the right, whole: figures are never cut.
    Right,
}

/// Rows as lines with two spaces between columns, in so many columns of a terminal as far as names can be cut for that: the longest first.
/// Wide letters such as Hangul take two places. A row may have fewer cells than others; cells beyond `aligns` stand to the left.
pub fn lines(aligns: &[Align], rows: &[Vec<String>], room: Option<usize>) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let align = |column: usize| aligns.get(column).copied().unwrap_or(Align::Left);
    let widest = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.width())
            .max()
    };
    let mut widths: Vec<usize> = (0..count).map(|column| widest(column).unwrap_or_default()).collect();
    while room.is_some_and(|room| width(&widths) > room) {
        let names = (0..count).filter(|column| align(*column) == Align::Name && widths[*column] > LEAST_NAME);
        match names.max_by_key(|name| widths[*name]) {
            Some(name) => widths[name] -= 1,
            None => break,
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let cell = cut(cell, *width);
            let fill = " ".repeat(width - cell.width());
            match align(column) {
                Align::Right => fill + &cell,
                Align::Left | Align::Name => cell + &fill,
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Of a table with columns so wide.
fn width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

/// A text in so many columns; what is left out is shown by an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        let next = format!("{cut}{letter}");
        if next.width() + 1 > columns {
            break;
        }
        cut = next;
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn a_narrow_terminal_cuts_names_and_no_figure() {
        let aligns = [Align::Name, Align::Right];
        let rows = [row(&["AGENCY", "TOTAL"]), row(&["ministry-of-employment", "1,234,567"])];
        let whole = ["AGENCY                      TOTAL", "ministry-of-employment  1,234,567"];
        assert_eq!(lines(&aligns, &rows, None), whole);
        assert_eq!(lines(&aligns, &rows, Some(33)), whole);
        assert_eq!(
            lines(&aligns, &rows, Some(22)),
            ["AGENCY           TOTAL", "ministry-o…  1,234,567"]
        );
        assert_eq!(lines(&aligns, &rows, Some(1))[1], "ministr…  1,234,567");
    }

    #[test]
    fn of_two_names_the_longer_one_is_cut_first() {
        let aligns = [Align::Name, Align::Left, Align::Name];
        let rows = [row(&["a-system-with-a-long-name", "core-hour", "twelve-chars"])];
        let found = lines(&aligns, &rows, Some(40));
        assert_eq!(found, ["a-system-with-…  core-hour  twelve-chars"]);
        assert_eq!(found[0].width(), 40);
    }

    #[test]
    fn cells_stand_under_each_other_in_any_script_and_rows_may_be_short() {
        let rows = [row(&["가나", "x"]), row(&["abc", "y"]), row(&["z"])];
        assert_eq!(lines(&[], &rows, None), ["가나  x", "abc   y", "z"]);
        assert_eq!(
            (cut("한국어", 5), cut("한국어", 6)),
            ("한국…".to_owned(), "한국어".to_owned())
        );
    }
}
