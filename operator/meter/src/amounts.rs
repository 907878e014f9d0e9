//! What a resource holds at any moment, and what a source saw of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exact::{Exact, Rounding, non_zero};
use crate::hours::Interval;
use crate::record::Completeness;

/// Places that a metered quantity keeps. A second is 1/3600 of an hour and has no end as a decimal; full hours are exact.
/// Eighteen are what a `decimal(38, 18)` column holds, which every reader of the lake knows.
pub const METERED_PLACES: u32 = 18;

const HOUR_IN_SECONDS: std::num::NonZeroU64 = non_zero(3600);

/// A meter of something that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HeldMeter {
    /// `cpu.reserved`
    Cpu,
    /// `memory.reserved`
    Memory,
    /// `gpu.reserved`
    Gpu,
    /// `storage.provisioned`
    Storage,
}

impl HeldMeter {
    /// Its name in records and price books.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu.reserved",
            Self::Memory => "memory.reserved",
            Self::Gpu => "gpu.reserved",
            Self::Storage => "storage.provisioned",
        }
    }

    /// Its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "core-hour",
            Self::Memory | Self::Storage => "GiB-hour",
            Self::Gpu => "device-hour",
        }
    }
}

/// How much of what is held, by meter; nothing that is zero. Cores, GiB or devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Amounts(Vec<(HeldMeter, Exact)>);

impl Amounts {
    /// These, without what is nothing.
    pub fn of(amounts: impl IntoIterator<Item = (HeldMeter, Exact)>) -> Self {
        let mut amounts: Vec<_> = amounts
            .into_iter()
            .filter(|(_, amount)| !amount.is_zero() && !amount.is_negative())
            .collect();
        amounts.sort();
        Self(amounts)
    }

    /// The meters.
    pub fn meters(&self) -> impl Iterator<Item = HeldMeter> + '_ {
        self.0.iter().map(|(meter, _)| *meter)
    }

    /// How much of one meter; nothing is zero.
    pub fn get(&self, meter: HeldMeter) -> Exact {
        let found = self.0.iter().find(|(known, _)| *known == meter);
        found.map(|(_, amount)| amount.clone()).unwrap_or_default()
    }
}

/// `amount` held over an interval, in hours of it, not rounded.
pub(crate) fn times_hours(amount: &Exact, interval: Interval) -> Exact {
    amount * &Exact::scaled(interval.length().as_nanos(), 9).over(HOUR_IN_SECONDS)
}

/// A quantity as records keep it.
pub(crate) fn kept(quantity: &Exact) -> Exact {
    quantity.round(METERED_PLACES, Rounding::HalfEven)
}

/// What one object of the API server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Who it is: a successor of the same name is another.
    pub uid: String,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The system that its label names.
    pub system: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Since when it holds something; none while it waits.
    pub held: Option<Timestamp>,
    /// When it ended, as it says itself.
    pub ended: Option<(Timestamp, Completeness)>,
    /// When its deletion was to be done.
    pub deleting: Option<Timestamp>,
    /// Deleted without waiting for anything: nobody may be left who says when it ended.
    pub forced: bool,
    /// Whether it stays until the metering finalizer is taken off.
    pub finalizer: bool,
    /// When it was last written, to the second, where the API server says so.
    pub changed: Option<Timestamp>,
    /// How often what was asked of it was changed, from 1, where the API server counts that.
    pub generation: i64,
    /// How much it holds.
    pub amounts: Amounts,
}
