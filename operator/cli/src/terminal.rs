//! The terminal that is printed to.

use std::io::IsTerminal;

/// How many columns it has; none where the output goes elsewhere, which gets everything.
pub(crate) fn columns() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}
