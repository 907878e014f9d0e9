//! `docs/metrics.md` is held against what `/metrics` serves.

use super::{
    BackupLabels, BillingLabels, CompletenessLabels, DisagreementLabels, KindLabels, Metrics, ReconcileLabels,
    RecordLabels, SourceLabels, WriteLabels,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Metrics with a sample of each: a family without one is not served.
fn filled() -> Metrics {
    let metrics = Metrics::default();
    // Every field is named, so that a metric that is added is missed here first.
    let Metrics {
        registry: _,
        reconciles,
        reconcile_seconds,
        writes,
        drift_healed,
        deviations_undone,
        queue_depth: _,
        leader: _,
        watch_errors,
        objects,
        usage_records,
        metering_failures,
        metering_objects,
        metering_waiting,
        metering_closed,
        reconciliation_findings,
        doubtful_hours,
        backups,
        billing_turns,
    } = &metrics;
    let (kind, outcome, source) = ("Agency", "Done", "pods");
    reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
    writes.get_or_create(&WriteLabels { kind, outcome }).inc();
    reconcile_seconds.get_or_create(&KindLabels { kind }).observe(1.0);
    for family in [drift_healed, deviations_undone, watch_errors] {
        family.get_or_create(&KindLabels { kind }).inc();
    }
    backups.get_or_create(&BackupLabels { outcome }).inc();
    billing_turns.get_or_create(&BillingLabels { outcome }).inc();
    objects.get_or_create(&KindLabels { kind }).set(1);
    for family in [usage_records, metering_failures] {
        family.get_or_create(&RecordLabels { source, outcome }).inc();
    }
    let completeness = "Missing";
    doubtful_hours
        .get_or_create(&CompletenessLabels { completeness })
        .set(1);
    let disagreement = "Unmetered";
    reconciliation_findings
        .get_or_create(&DisagreementLabels { disagreement })
        .set(1);
    for family in [metering_objects, metering_waiting, metering_closed] {
        family.get_or_create(&SourceLabels { source }).set(1);
    }
    metrics
}

/// The rows of the page that the operator's `/metrics` calls for: name, type, unit and labels.
fn served() -> BTreeSet<String> {
    let page = filled().encode();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut units: BTreeMap<&str, &str> = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => drop(types.insert(name, kind)),
            ["#", "UNIT", name, unit] => drop(units.insert(name, unit)),
            ["#", ..] => {}
            _ => {
                // The series of a metric follow its description.
                let Some(name) = types
                    .keys()
                    .copied()
                    .filter(|name| line.starts_with(name))
                    .max_by_key(|name| name.len())
                else {
                    panic!("{line} has no description");
                };
                let inside = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
                let pairs = inside.map_or("", |(pairs, _)| pairs).split(',');
                let names = pairs
                    .filter_map(|pair| Some(pair.split_once('=')?.0))
                    .filter(|name| *name != "le");
                labels.entry(name).or_default().extend(names);
            }
        }
    }
    types
        .iter()
        .map(|(name, kind)| {
            let mut row = format!("| `{name}` | {kind} | {} |", units.get(name).unwrap_or(&""));
            let of_name: Vec<String> = labels[name].iter().map(|label| format!("`{label}`")).collect();
            write!(row, " {} |", of_name.join(", ")).unwrap();
            row.replace("  ", " ")
        })
        .collect()
}

#[test]
fn the_page_names_every_metric_with_its_type_its_unit_and_its_labels() {
    let page = include_str!("../../../../docs/metrics.md");
    let mut written = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `maru_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, unit, labels, what, _] = cells[..] else {
            panic!("a row has five cells: {line}");
        };
        assert!(!what.is_empty(), "{name} does not say what it is");
        let mut labels: Vec<&str> = labels.split(", ").collect();
        labels.sort_unstable();
        written.insert(format!("| {name} | {kind} | {unit} | {} |", labels.join(", ")).replace("  ", " "));
    }
    let served = served();
    let missing: Vec<&String> = served.difference(&written).collect();
    let gone: Vec<&String> = written.difference(&served).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "to add: {missing:#?}\nto take out: {gone:#?}"
    );
}
