//! Carries a plan out: the only writer of cluster objects.
