//! The only place where a name or a value becomes SQL.

/// The longest name that `PostgreSQL` keeps; a longer one is cut, and two names could become one.
const LONGEST_NAME: usize = 63;

/// A name between quotes, or nothing if `PostgreSQL` cannot have that name.
pub fn identifier(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains('\0');
    fits.then(|| format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A value between quotes that means the same whatever `standard_conforming_strings` says, or nothing if it has a NUL.
pub fn literal(value: &str) -> Option<String> {
    if value.contains('\0') {
        return None;
    }
    let doubled = value.replace('\'', "''");
    Some(if value.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    })
}
