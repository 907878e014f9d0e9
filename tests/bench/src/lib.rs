//! Benchmarks: ratios between things run in the same run.
