//! A ledger page becomes a bill and its renderings.
