//! Amounts of resources as exact integers, and Kubernetes' way of writing them.
//!
//! The API server rewrites quantities into a canonical form when it stores an object (`resource.Quantity` of apimachinery).
//! What is planned is written in that form from the start, so that it can be compared with what is read back.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;
use std::fmt;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a quantity: digits, an optional fraction and one of m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei"
)]
pub struct NotAQuantity {
    text: String,
}

/// How a quantity was written, and so how it is written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Decimal,
    Binary,
}

/// A parsed quantity, exact to a thousandth; finer parts are rounded up, as the API server does at its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    milli: i128,
    base: Base,
}

/// The largest quantity that Kubernetes knows, 2⁶³ − 1; larger ones are cut to it.
const LARGEST: i128 = i64::MAX as i128;

const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Parsed {
    /// Reads a quantity as Kubernetes writes it: `500m`, `2`, `1.5Gi`, `20G`.
    ///
    /// # Errors
    /// [`NotAQuantity`] where the text is something else, is negative or has an exponent.
    pub(crate) fn read(text: &str) -> Result<Self, NotAQuantity> {
        Self::try_read(text).ok_or_else(|| NotAQuantity { text: text.to_owned() })
    }

    fn try_read(text: &str) -> Option<Self> {
        let digits_end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = whole.len() + fraction.len();
        if digits == 0 || digits > 30 || fraction.contains('.') {
            return None;
        }
        // value = mantissa / 10^scale × factor, where `factor` is in thousandths
        let mantissa: i128 = [whole, fraction].concat().parse().ok()?;
        let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let (factor, base) = factor(suffix)?;
        let milli = mantissa
            .checked_mul(factor)
            .map_or(LARGEST * 1000, |product| ceil_div(product, scale));
        Some(Self {
            milli: milli.min(LARGEST * 1000),
            base,
        })
    }

    /// In thousandths, such as millicores; rounded up from finer, at most 2⁶³ − 1.
    pub(crate) fn milli(self) -> i64 {
        clamp(self.milli)
    }

    /// In whole units, such as bytes; rounded up, at most 2⁶³ − 1.
    pub(crate) fn whole(self) -> i64 {
        clamp(ceil_div(self.milli, 1000))
    }

    /// The same in whole units: a byte has no thousandths.
    #[must_use]
    pub(crate) fn rounded_up(self) -> Self {
        Self {
            milli: ceil_div(self.milli, 1000) * 1000,
            base: self.base,
        }
    }
}

fn factor(suffix: &str) -> Option<(i128, Base)> {
    if suffix == "m" {
        return Some((1, Base::Decimal));
    }
    if let Some(power) = DECIMAL.iter().position(|known| *known == suffix) {
        return Some((1000 * 1000i128.pow(u32::try_from(power).ok()?), Base::Decimal));
    }
    let power = BINARY.iter().position(|known| *known == suffix)?;
    Some((1000 * 1024i128.pow(u32::try_from(power).ok()?), Base::Binary))
}

fn ceil_div(dividend: i128, divisor: i128) -> i128 {
    dividend / divisor + i128::from(dividend % divisor != 0)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The canonical form, as the API server prints it.
impl fmt::Display for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let whole = self.milli / 1000;
        match self.base {
            Base::Binary if whole >= 1024 => write_reduced(f, whole, 1024, &BINARY),
            Base::Binary | Base::Decimal => write_reduced(f, whole, 1000, &DECIMAL),
        }
    }
}

fn write_reduced(f: &mut fmt::Formatter<'_>, mut value: i128, step: i128, suffixes: &[&str; 7]) -> fmt::Result {
    let mut power = 0;
    while value != 0 && value % step == 0 && power + 1 < suffixes.len() {
        value /= step;
        power += 1;
    }
    write!(f, "{value}{}", suffixes[power])
}

/// A CPU quantity in its canonical form; as it stands where it cannot be read, for the API server then says why.
pub(crate) fn cpu(text: &str) -> Quantity {
    Quantity(Parsed::read(text).map_or_else(|_| text.to_owned(), |cpu| cpu.to_string()))
}

/// A quantity of bytes in its canonical form, rounded up to a whole byte.
pub(crate) fn bytes(text: &str) -> Quantity {
    Quantity(Parsed::read(text).map_or_else(|_| text.to_owned(), |bytes| bytes.rounded_up().to_string()))
}

/// What a quota limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// CPU that pods request, in thousandths of a core.
    Cpu,
    /// Memory that pods request, in bytes.
    Memory,
    /// Ephemeral storage that pods request, in bytes.
    EphemeralStorage,
    /// Storage that persistent volume claims request, in bytes.
    Storage,
    /// Pods that have not ended.
    Pods,
    /// Services.
    Services,
    /// Persistent volume claims.
    Claims,
    /// Devices that pods request, by the name of the extended resource, such as `nvidia.com/gpu`.
    Device(String),
}

impl Resource {
    /// The key in `spec.hard` of a `ResourceQuota`.
    pub fn quota_key(&self) -> String {
        match self {
            Self::Cpu => "requests.cpu".to_owned(),
            Self::Memory => "requests.memory".to_owned(),
            Self::EphemeralStorage => "requests.ephemeral-storage".to_owned(),
            Self::Storage => "requests.storage".to_owned(),
            Self::Pods => "pods".to_owned(),
            Self::Services => "services".to_owned(),
            Self::Claims => "persistentvolumeclaims".to_owned(),
            Self::Device(name) => format!("requests.{name}"),
        }
    }

    /// What a person calls it.
    pub fn title(&self) -> &str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral storage",
            Self::Storage => "storage",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::Claims => "volume claims",
            Self::Device(name) => name,
        }
    }

    /// Reads a quantity into this resource's smallest unit, rounded up.
    ///
    /// # Errors
    /// [`NotAQuantity`]
    pub fn read(&self, text: &str) -> Result<i64, NotAQuantity> {
        let parsed = Parsed::read(text)?;
        Ok(if matches!(self, Self::Cpu) {
            parsed.milli()
        } else {
            parsed.whole()
        })
    }

    /// Writes an amount in this resource's smallest unit as a canonical quantity.
    pub fn write(&self, amount: i64) -> String {
        let amount = i128::from(amount.max(0));
        let parsed = match self {
            Self::Cpu => Parsed {
                milli: amount,
                base: Base::Decimal,
            },
            Self::Memory | Self::EphemeralStorage | Self::Storage if amount % 1024 == 0 => Parsed {
                milli: amount * 1000,
                base: Base::Binary,
            },
            _ => Parsed {
                milli: amount * 1000,
                base: Base::Decimal,
            },
        };
        parsed.to_string()
    }

    const fn slot(&self) -> Option<usize> {
        match self {
            Self::Cpu => Some(0),
            Self::Memory => Some(1),
            Self::EphemeralStorage => Some(2),
            Self::Storage => Some(3),
            Self::Pods => Some(4),
            Self::Services => Some(5),
            Self::Claims => Some(6),
            Self::Device(_) => None,
        }
    }
}

/// Amounts of everything that a quota limits, each in its smallest unit ([`Resource`]). They add up without overflowing:
/// past 2⁶³ − 1 they stay there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    plain: [i64; 7],
    devices: BTreeMap<String, i64>,
}

impl Amounts {
    /// The amount of one resource.
    pub fn get(&self, resource: &Resource) -> i64 {
        match resource {
            Resource::Device(name) => self.devices.get(name).copied().unwrap_or(0),
            plain => plain.slot().map_or(0, |slot| self.plain[slot]),
        }
    }

    /// Adds to the amount of one resource.
    pub fn add(&mut self, resource: &Resource, amount: i64) {
        let entry = match resource {
            Resource::Device(name) => self.devices.entry(name.clone()).or_default(),
            plain => &mut self.plain[plain.slot().unwrap_or(0)],
        };
        *entry = entry.saturating_add(amount);
    }

    /// Adds `times` of every amount of `other`.
    pub fn add_times(&mut self, other: &Self, times: i64) {
        for (mine, theirs) in self.plain.iter_mut().zip(&other.plain) {
            *mine = mine.saturating_add(theirs.saturating_mul(times));
        }
        for (name, theirs) in &other.devices {
            self.add(&Resource::Device(name.clone()), theirs.saturating_mul(times));
        }
    }

    /// Adds a request under the name that a container gives it. What is not a quantity, and page sizes and the like that no quota
    /// of Maru limits, count nothing.
    pub(crate) fn add_request(&mut self, name: &str, quantity: &str) {
        let resource = match name {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            "ephemeral-storage" => Resource::EphemeralStorage,
            "storage" => Resource::Storage,
            device if device.contains('/') => Resource::Device(device.to_owned()),
            _ => return,
        };
        self.add(&resource, resource.read(quantity).unwrap_or(0));
    }

    /// Raises each amount to that of `other` where it is less.
    fn raise_to(&mut self, other: &Self) {
        for (mine, theirs) in self.plain.iter_mut().zip(&other.plain) {
            *mine = (*mine).max(*theirs);
        }
        for (name, theirs) in &other.devices {
            let mine = self.devices.entry(name.clone()).or_default();
            *mine = (*mine).max(*theirs);
        }
    }

    /// All devices together.
    pub fn devices(&self) -> i64 {
        self.devices.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What a pod requests, as quotas and the scheduler count it: its containers and sidecars together or its largest init
/// container, whichever is more, and the overhead of its runtime class. (Kubernetes: "Resource sharing within containers".)
pub fn pod_requests(pod: &PodSpec) -> Amounts {
    let mut running = Amounts::default();
    let mut starting = Amounts::default();
    for container in pod.init_containers.iter().flatten() {
        let requests = container_requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add_times(&requests, 1);
            starting.raise_to(&running);
        } else {
            let mut beside = running.clone();
            beside.add_times(&requests, 1);
            starting.raise_to(&beside);
        }
    }
    for container in &pod.containers {
        running.add_times(&container_requests(container), 1);
    }
    running.raise_to(&starting);
    for (name, quantity) in pod.overhead.iter().flatten() {
        running.add_request(name, &quantity.0);
    }
    running.add(&Resource::Pods, 1);
    running
}

fn container_requests(container: &Container) -> Amounts {
    let mut amounts = Amounts::default();
    let resources = container.resources.as_ref();
    for (name, quantity) in resources
        .and_then(|resources| resources.requests.as_ref())
        .into_iter()
        .flatten()
    {
        amounts.add_request(name, &quantity.0);
    }
    amounts
}
