//! Why SQL could not be carried out, and what to do about it.

use maru_desire::{Problem, Reason};
use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// How much of a server's message is passed on.
const LONGEST_MESSAGE: usize = 400;

/// What a server answered, or that it did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Nobody answers at the address, or the connection broke.
    #[error(
        "the server cannot be reached: {0}; is it running, are host and port right, does a network policy let the operator through?"
    )]
    Unreachable(String),
    /// The name or the password is wrong.
    #[error(
        "the server refuses the administrator's name or password: put the right ones into the Secret of adminSecretRef"
    )]
    WrongPassword,
    /// There is no connection left.
    #[error(
        "the server has no connection left: raise max_connections, or lower connectionsPerUser in the server's limits"
    )]
    TooManyConnections,
    /// The certificate, or the lack of one.
    #[error(
        "the server's certificate is refused: {0}; renew it, correct caSecretRef, or let host be a name that it is for"
    )]
    Certificate(String),
    /// The server takes no writes.
    #[error("the server takes no writes: let host be that of the primary, such as the read-write Service")]
    NotPrimary,
    /// The disk is full.
    #[error("the server's disk is full: give it more room, or delete data")]
    DiskFull,
    /// The role may not do it.
    #[error(
        "the administrator's role may not do it ({0}): it needs CREATEROLE and CREATEDB, and the rights of the owners of what is there"
    )]
    NotAllowed(String),
    /// There is no such database.
    #[error("the server has no such database")]
    NoDatabase,
    /// Somebody holds what is needed.
    #[error("somebody's transaction holds a lock for too long; it is tried again")]
    Locked,
    /// Anything else that the server refused.
    #[error("the server refused it ({code}): {message}")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// The server's message, without details, which may show data.
        message: String,
    },
    /// The server answered something that is no answer.
    #[error("the server's answer cannot be read: {0}")]
    Answer(String),
}

impl SqlError {
    /// The reason that conditions and metrics carry.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) | Self::Answer(_) => Reason::ServerUnreachable,
            Self::WrongPassword => Reason::WrongPassword,
            Self::TooManyConnections => Reason::TooManyConnections,
            Self::Certificate(_) => Reason::CertificateRefused,
            Self::NotPrimary => Reason::NotPrimary,
            Self::DiskFull => Reason::DiskFull,
            Self::NotAllowed(_) => Reason::NoCreateRole,
            Self::NoDatabase => Reason::DatabaseMissing,
            Self::Locked | Self::Refused { .. } => Reason::SqlRefused,
        }
    }

    /// The condition that it becomes.
    pub fn problem(&self) -> Problem {
        Problem::new(self.reason(), self.to_string())
    }

    /// Whether nothing further can be done through the same connection.
    pub const fn ends_the_session(&self) -> bool {
        self.reason().is_of_the_way()
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return of_state(answer.code(), answer.message());
        }
        if let Some(certificate) = certificate(&error) {
            return Self::Certificate(certificate);
        }
        let mut words = error.to_string();
        if let Some(cause) = error.source() {
            words = format!("{words}: {cause}");
        }
        Self::Unreachable(cut(&words))
    }
}

fn of_state(code: &SqlState, message: &str) -> SqlError {
    let code = code.code();
    match code {
        "28P01" | "28000" => SqlError::WrongPassword,
        "53300" => SqlError::TooManyConnections,
        "53100" => SqlError::DiskFull,
        "25006" => SqlError::NotPrimary,
        "42501" => SqlError::NotAllowed(cut(message)),
        "3D000" => SqlError::NoDatabase,
        "55P03" | "57014" | "40P01" => SqlError::Locked,
        _ if code.starts_with("57P") || code.starts_with("08") => SqlError::Unreachable(cut(message)),
        _ => SqlError::Refused {
            code: code.to_owned(),
            message: cut(message),
        },
    }
}

/// What TLS found fault with, if it did.
fn certificate(error: &tokio_postgres::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(tls) = one.downcast_ref::<rustls::Error>() {
            return Some(cut(&tls.to_string()));
        }
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(cut(&tls.to_string()));
        }
        cause = one.source();
    }
    let words = error.to_string();
    words.contains("TLS").then_some(words)
}

fn cut(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}
