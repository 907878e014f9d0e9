//! What was observed becomes usage records.
