//! Amounts of resources as exact integers, and Kubernetes' way of writing them.

/// Amounts of everything that a quota limits, in the smallest unit of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPU in thousandths of a core.
    pub cpu_milli: i64,
}
