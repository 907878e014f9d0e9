//! What Prometheus sees of the operator. Label values come from closed sets: kinds, reasons and outcomes, never names.

#[cfg(test)]
mod page;

use maru_desire::{Applied, ObjectKind, Outcome};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// Labels of a reconcile: whose it was and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// `Agency` or `AgencySystem`.
    pub kind: &'static str,
    /// `Done`, `Again`, `Failed` or `TimedOut`.
    pub outcome: &'static str,
}

/// Labels of a write: which kind of object and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// The kind of the object.
    pub kind: &'static str,
    /// `Written`, `Deleted`, `Refused` or `Status`.
    pub outcome: &'static str,
}

/// One kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// The kind of the object.
    pub kind: &'static str,
}

/// What is metered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabels {
    /// `pods`, `volumes`, `prometheus` or `events`.
    pub source: &'static str,
}

/// What is metered, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RecordLabels {
    /// `pods`, `volumes`, `prometheus` or `events`.
    pub source: &'static str,
    /// Of records: `Added`, `Bettered`, `Known` or `Conflict`. Of failures the step: `Read`, `Watch`, `Write`, `Keep`, `Tidy` or `Vacuum`.
    pub outcome: &'static str,
}

/// What does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DisagreementLabels {
    /// `Unmetered`, `Twice` or `Gone`.
    pub disagreement: &'static str,
}

/// How much was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CompletenessLabels {
    /// `Estimated` or `Missing`.
    pub completeness: &'static str,
}

/// What became of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackupLabels {
    /// `Made`, `Verified`, `Failed`, `NotVerified` or `Forgotten`.
    pub outcome: &'static str,
}

/// What a billing run came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BillingLabels {
    /// `Previewed`, `Open` or `Issued`; else the reason that the run's condition gives, such as `Failed`.
    pub outcome: &'static str,
}

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles that ended.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// How long reconciles took, in seconds.
    pub reconcile_seconds: Family<KindLabels, Histogram>,
    /// Requests that changed, or tried to change, something in the cluster.
    pub writes: Family<WriteLabels, Counter>,
    /// Owned objects that somebody edited or deleted and that were put right.
    pub drift_healed: Family<KindLabels, Counter>,
    /// Rights, roles and views in databases that somebody changed and that were put right.
    pub deviations_undone: Family<KindLabels, Counter>,
    /// Objects that wait for their turn.
    pub queue_depth: Gauge<i64, AtomicI64>,
    /// 1 while this replica leads.
    pub leader: Gauge<i64, AtomicI64>,
    /// Watches that ended with an error and were taken up again.
    pub watch_errors: Family<KindLabels, Counter>,
    /// Objects known, by kind.
    pub objects: Family<KindLabels, Gauge<i64, AtomicI64>>,
    /// Usage records that were given to the lake.
    pub usage_records: Family<RecordLabels, Counter>,
    /// Steps of metering that failed and are tried again.
    pub metering_failures: Family<RecordLabels, Counter>,
    /// Objects that are metered.
    pub metering_objects: Family<SourceLabels, Gauge<i64, AtomicI64>>,
    /// Objects that are over and not recorded yet.
    pub metering_waiting: Family<SourceLabels, Gauge<i64, AtomicI64>>,
    /// The hour, in seconds since 1970, before which everything is recorded.
    pub metering_closed: Family<SourceLabels, Gauge<i64, AtomicI64>>,
    /// What the last look found in which what runs and what is metered do not agree.
    pub reconciliation_findings: Family<DisagreementLabels, Gauge<i64, AtomicI64>>,
    /// Hours of open months of which meters did not see all.
    pub doubtful_hours: Family<CompletenessLabels, Gauge<i64, AtomicI64>>,
    /// Backups of datasets.
    pub backups: Family<BackupLabels, Counter>,
    /// Billing runs that were worked out.
    pub billing_turns: Family<BillingLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("maru"),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 16))),
            writes: Family::default(),
            drift_healed: Family::default(),
            deviations_undone: Family::default(),
            queue_depth: Gauge::default(),
            leader: Gauge::default(),
            watch_errors: Family::default(),
            objects: Family::default(),
            usage_records: Family::default(),
            metering_failures: Family::default(),
            metering_objects: Family::default(),
            metering_waiting: Family::default(),
            metering_closed: Family::default(),
            reconciliation_findings: Family::default(),
            doubtful_hours: Family::default(),
            backups: Family::default(),
            billing_turns: Family::default(),
        };
        metrics.register();
        metrics.register_metering();
        metrics.registry.register(
            "backups",
            "Backups of datasets, by what became of them",
            metrics.backups.clone(),
        );
        metrics.registry.register(
            "billing_turns",
            "Times that a billing run was worked out, by what it came to",
            metrics.billing_turns.clone(),
        );
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "reconciles",
            "Reconciles that ended, by kind and outcome",
            self.reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "How long reconciles took",
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        registry.register(
            "writes",
            "Writes to the cluster, by kind of object and outcome",
            self.writes.clone(),
        );
        registry.register(
            "drift_healed",
            "Owned objects that were changed by others and put right",
            self.drift_healed.clone(),
        );
        registry.register(
            "deviations_undone",
            "Rights, roles and views in databases that were changed by others and put right",
            self.deviations_undone.clone(),
        );
        registry.register(
            "queue_depth",
            "Objects waiting for their turn",
            self.queue_depth.clone(),
        );
        registry.register("leader", "1 while this replica leads", self.leader.clone());
        registry.register(
            "watch_errors",
            "Watches that failed and were taken up again",
            self.watch_errors.clone(),
        );
        registry.register("objects", "Objects known, by kind", self.objects.clone());
    }

    fn register_metering(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "usage_records",
            "Usage records given to the lake, by source and what became of them",
            self.usage_records.clone(),
        );
        registry.register(
            "metering_failures",
            "Steps of metering that failed and are tried again, by source and step",
            self.metering_failures.clone(),
        );
        registry.register(
            "metering_objects",
            "Objects that are metered, by source",
            self.metering_objects.clone(),
        );
        registry.register(
            "metering_waiting",
            "Objects that are over and not recorded yet, by source",
            self.metering_waiting.clone(),
        );
        registry.register_with_unit(
            "metering_closed",
            "The time before which everything is recorded, by source",
            Unit::Seconds,
            self.metering_closed.clone(),
        );
        registry.register(
            "reconciliation_findings",
            "Things in which what runs and what is metered do not agree, as the last look found them",
            self.reconciliation_findings.clone(),
        );
        registry.register(
            "doubtful_hours",
            "Hours of months that are open of which a meter did not see all, summed over meters",
            self.doubtful_hours.clone(),
        );
    }

    /// Remembers the moment, in seconds since 1970, before which everything of a source is recorded.
    pub fn is_closed(&self, source: &'static str, second: i64) {
        self.metering_closed.get_or_create(&SourceLabels { source }).set(second);
    }

    /// That moment; 0 where the source has not said any.
    pub fn closed(&self, source: &'static str) -> i64 {
        self.metering_closed.get_or_create(&SourceLabels { source }).get()
    }

    /// Remembers how many hours of open months are estimated, and how many were not seen.
    pub fn doubtful(&self, estimated: usize, missing: usize) {
        for (completeness, hours) in [("Estimated", estimated), ("Missing", missing)] {
            self.doubtful_hours
                .get_or_create(&CompletenessLabels { completeness })
                .set(i64::try_from(hours).unwrap_or(i64::MAX));
        }
    }

    /// Remembers how many things do not agree in a way.
    pub fn disagree(&self, disagreement: &'static str, count: i64) {
        self.reconciliation_findings
            .get_or_create(&DisagreementLabels { disagreement })
            .set(count);
    }

    /// Counts what became of usage records.
    pub fn metered(&self, source: &'static str, outcome: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.usage_records
            .get_or_create(&RecordLabels { source, outcome })
            .inc_by(count);
    }

    /// Counts a step of metering that failed.
    pub fn metering_failed(&self, source: &'static str, step: &'static str) {
        let outcome = step;
        self.metering_failures
            .get_or_create(&RecordLabels { source, outcome })
            .inc();
    }

    /// Counts what became of a backup.
    pub fn backed_up(&self, outcome: &'static str) {
        self.backups.get_or_create(&BackupLabels { outcome }).inc();
    }

    /// Counts what working a billing run out came to.
    pub fn billed(&self, outcome: &'static str) {
        self.billing_turns.get_or_create(&BillingLabels { outcome }).inc();
    }

    /// The metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail; an empty page would be noticed by the scrape.
        if text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    /// Remembers how many objects of each kind are known.
    pub fn knows(&self, counts: [(&'static str, usize); 3]) {
        for (kind, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.objects.get_or_create(&KindLabels { kind }).set(count);
        }
    }

    /// Counts how a reconcile ended.
    pub fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
        self.reconcile_seconds
            .get_or_create(&KindLabels { kind })
            .observe(took.as_secs_f64());
    }

    /// Counts an owned object that somebody changed or deleted and that was put right.
    pub fn healed(&self, kind: ObjectKind) {
        self.drift_healed.get_or_create(&KindLabels { kind: kind.kind() }).inc();
    }

    /// Counts what somebody changed in a database and what was put right.
    pub fn undone(&self, kind: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.deviations_undone.get_or_create(&KindLabels { kind }).inc_by(count);
    }

    /// Counts what a plan wrote.
    pub fn applied(&self, applied: &Applied) {
        for (key, outcome) in applied.outcomes() {
            let outcome = match outcome {
                Outcome::Unchanged | Outcome::Skipped => continue,
                Outcome::Written => "Written",
                Outcome::Deleted => "Deleted",
                Outcome::Refused { .. } => "Refused",
            };
            self.writes
                .get_or_create(&WriteLabels {
                    kind: key.kind.kind(),
                    outcome,
                })
                .inc();
        }
    }

    /// Counts a write of a primary object: its status or its finalizers.
    pub fn wrote_primary(&self, kind: &'static str, outcome: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind, outcome }).inc();
    }
}
