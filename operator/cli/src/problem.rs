//! What is wrong with an input: the file, the line and what is allowed.

use std::fmt;
use std::path::{Path, PathBuf};

/// An input that cannot be gone by. The command ends with exit code 2 and prints nothing else.
#[derive(Debug)]
pub struct Problem {
    file: Option<PathBuf>,
    line: Option<u64>,
    message: String,
}

impl Problem {
    /// Something wrong on a line, from 1, of a file.
    pub fn at(file: &Path, line: u64, message: impl fmt::Display) -> Self {
        Self {
            file: Some(file.to_owned()),
            line: (line > 0).then_some(line),
            message: message.to_string(),
        }
    }

    /// Something wrong with a file as a whole.
    pub fn of(file: &Path, message: impl fmt::Display) -> Self {
        Self {
            file: Some(file.to_owned()),
            line: None,
            message: message.to_string(),
        }
    }

    /// Something wrong with the inputs together.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            file: None,
            line: None,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(feature = "distributed")]
impl From<maru_distributed::DistributedError> for Problem {
    fn from(error: maru_distributed::DistributedError) -> Self {
        Self::new(error)
    }
}

impl From<maru_lake::LakeError> for Problem {
    fn from(error: maru_lake::LakeError) -> Self {
        Self::new(error)
    }
}
