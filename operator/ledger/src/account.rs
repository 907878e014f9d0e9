//! The accounts of the books.

use std::fmt;
use std::sync::Arc;

/// An account that money is booked to. Debits are above zero, credits below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What an agency owes.
    Payable(Arc<str>),
    /// What a system earned, or what is for all systems of an agency together.
    Revenue(Option<Arc<str>>),
    /// What is owed to the tax office.
    Tax(Arc<str>),
    /// The cost of writing off what a system cost to build.
    Amortisation(Arc<str>),
    /// What of a system was written off so far.
    AccumulatedAmortisation(Arc<str>),
    /// What a standard rate brought in beyond the cost of its system, or fell short of it; it flows into the next year's rate.
    Recovery(Arc<str>),
    /// What rounding a bill's total left of its lines, where a price book rounds at the bill.
    Rounding,
}

impl fmt::Display for Account {
    /// Its name in the books, such as `payable:nts`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payable(agency) => write!(f, "payable:{agency}"),
            Self::Revenue(None) => f.write_str("revenue"),
            Self::Revenue(Some(system)) => write!(f, "revenue:{system}"),
            Self::Tax(name) => write!(f, "tax:{name}"),
            Self::Amortisation(system) => write!(f, "amortisation:{system}"),
            Self::AccumulatedAmortisation(system) => write!(f, "accumulated-amortisation:{system}"),
            Self::Recovery(system) => write!(f, "recovery:{system}"),
            Self::Rounding => f.write_str("rounding"),
        }
    }
}

/// An amount booked to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub account: Account,
    /// How much, in units of the page's last decimal place: debits above zero, credits below.
    pub units: i64,
    /// The line of the bill that it is for, from 1; 0 where it is for the bill as a whole.
    pub line: u32,
}
