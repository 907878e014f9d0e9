//! The key that backups are encrypted with.

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use std::fmt;
use std::str::FromStr;

use crate::BackupError;

/// An age identity. `Debug` says nothing of it.
#[derive(Clone)]
pub struct Key(Identity);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A new one, and the lines of a file that holds it.
    pub fn generate() -> (Self, String) {
        let identity = Identity::generate();
        let public = identity.to_public();
        let text = format!("# public key: {public}\n{}\n", identity.to_string().expose_secret());
        (Self(identity), text)
    }

    pub(crate) fn recipient(&self) -> age::x25519::Recipient {
        self.0.to_public()
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.0
    }
}

impl FromStr for Key {
    type Err = BackupError;

    /// Reads a file's text: the first line that is no comment.
    fn from_str(text: &str) -> Result<Self, BackupError> {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        let line = line.ok_or_else(|| BackupError::Key("the file has no key in it".to_owned()))?;
        // The reason must not repeat what may be a secret.
        let identity = line
            .parse()
            .map_err(|_| BackupError::Key("the line cannot be read".to_owned()))?;
        Ok(Self(identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_is_never_printed() {
        let (key, text) = Key::generate();
        let read: Key = text.parse().unwrap();
        assert_eq!(read.recipient().to_string(), key.recipient().to_string());
        assert_eq!(format!("{key:?}"), "Key(…)");
        for wrong in ["", "# only a comment", "AGE-SECRET-KEY-1SECRETWORD"] {
            let message = wrong.parse::<Key>().unwrap_err().to_string();
            assert!(
                message.contains("kubectl maru dataset key") && !message.contains("SECRETWORD"),
                "{message}"
            );
        }
    }
}
