//! Summing a lake's usage past one machine: the same sums as [`maru_lake::Lake::sum`], as a `DataFusion` plan on a
//! [Ballista](https://datafusion.apache.org/ballista/) cluster.
//!
//! The plan uses nothing but the own functions of `DataFusion`, so that any Ballista cluster of the same version runs it. Executors read
//! the table's files by themselves: from a directory that all of them see, or from an object store.
#![cfg(feature = "distributed")]

mod cluster;
mod plan;
mod rows;

pub use cluster::{Cluster, DistributedError};
