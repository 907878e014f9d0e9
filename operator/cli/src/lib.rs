//! kubectl maru: plan, rate, usage, bills, verify.
