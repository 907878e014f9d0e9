//! A table of words and figures that fits the terminal.

use unicode_width::UnicodeWidthStr;

/// What is left of a name at least.
const LEAST_NAME: usize = 8;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// To the left, whole.
    Left,
    /// To the left, and cut where there is no room.
    Name,
    /// To the right, whole.
    Right,
}

/// Headers and rows with two spaces between columns, in so many columns of a terminal as far as names can be cut for that.
pub(crate) fn columns(headers: &[(&str, Align)], rows: Vec<Vec<String>>, room: Option<usize>) -> String {
    let head: Vec<String> = headers.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..headers.len()).map(widest).collect();
    let names = || (0..headers.len()).filter(|column| headers[*column].1 == Align::Name);
    while room.is_some_and(|room| widths.iter().sum::<usize>() + 2 * (widths.len() - 1) > room) {
        match names()
            .max_by_key(|name| widths[*name])
            .filter(|name| widths[*name] > LEAST_NAME)
        {
            Some(name) => widths[name] -= 1,
            None => break,
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(headers).zip(&widths).map(|((cell, (_, align)), width)| {
            let cell = maru_bill::cut(cell, *width);
            let fill = " ".repeat(width - cell.width());
            match align {
                Align::Right => fill + &cell,
                Align::Left | Align::Name => cell + &fill,
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_cuts_names_and_no_figure() {
        let headers = [("AGENCY", Align::Name), ("TOTAL", Align::Right)];
        let rows = || vec![vec!["ministry-of-employment".to_owned(), "1,234,567".to_owned()]];
        assert_eq!(
            columns(&headers, rows(), None),
            "AGENCY                      TOTAL\nministry-of-employment  1,234,567\n"
        );
        assert_eq!(
            columns(&headers, rows(), Some(22)),
            "AGENCY           TOTAL\nministry-o…  1,234,567\n"
        );
        assert!(columns(&headers, rows(), Some(1)).contains("ministr…  1,234,567"));
    }
}
