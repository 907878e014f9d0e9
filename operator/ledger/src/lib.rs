//! Money at rest: double entry, append-only, gap-free numbers.
