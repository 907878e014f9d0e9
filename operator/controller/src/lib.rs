//! The operator: watches, queue, reconcilers, lease, metrics.
