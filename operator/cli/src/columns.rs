//! Tables with headers.

use maru_bill::layout::{self, Align};

/// Headers and rows, in so many columns of a terminal as far as names can be cut for that.
pub(crate) fn columns(headers: &[(&str, Align)], rows: Vec<Vec<String>>, room: Option<usize>) -> String {
    let aligns: Vec<Align> = headers.iter().map(|(_, align)| *align).collect();
    let head = headers.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let lines = layout::lines(&aligns, &rows, room);
    lines.join("\n") + "\n"
}
