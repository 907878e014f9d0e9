//! What a platform engineer sees in the usage records of pods.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use maru_meter::{Completeness, pods};
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn pod(spec: &Value, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web-1", "namespace": "nts", "uid": "u1",
            "labels": {"maru.dev/agency": "nts", "maru.dev/system": "hometax"},
        },
        "spec": spec,
        "status": status,
    }))
    .unwrap()
}

fn container(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

fn running_since(time: &str) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": time}]})
}

/// Meter, start and quantity of each record.
fn seen(pod: &Pod, from: &str, until: &str) -> Vec<(String, String, String)> {
    let metered = pods([pod], at(from), at(until));
    assert_eq!(metered.refused, []);
    let triple = |r: &maru_meter::UsageRecord| (r.meter.clone(), r.start.to_string(), r.quantity.to_string());
    metered.records.iter().map(triple).collect()
}

fn triple(meter: &str, start: &str, quantity: &str) -> (String, String, String) {
    (meter.to_owned(), start.to_owned(), quantity.to_owned())
}

#[test]
fn a_running_pod_is_metered_by_the_hour_from_the_second_it_was_bound() {
    let pod = pod(
        &json!({"containers": [container("web", "500m", "1Gi")]}),
        &running_since("2026-11-24T00:30:00Z"),
    );
    let expected = [
        triple("cpu.reserved", "2026-11-24T00:30:00Z", "0.25"),
        triple("cpu.reserved", "2026-11-24T01:00:00Z", "0.5"),
        triple("memory.reserved", "2026-11-24T00:30:00Z", "0.5"),
        triple("memory.reserved", "2026-11-24T01:00:00Z", "1"),
    ];
    assert_eq!(seen(&pod, "2026-11-24T00:00:00Z", "2026-11-24T02:00:00Z"), expected);
}

#[test]
fn metering_hour_by_hour_gives_the_records_that_metering_at_once_gives() {
    let pod = pod(
        &json!({"containers": [container("web", "300m", "100Mi")]}),
        &running_since("2026-11-24T00:10:07Z"),
    );
    let at_once = pods([&pod], at("2026-11-24T00:00:00Z"), at("2026-11-24T03:00:00Z")).records;
    let mut hourly: Vec<_> = (0..3)
        .flat_map(|hour| {
            let from = at("2026-11-24T00:00:00Z") + jiff::SignedDuration::from_hours(hour);
            pods([&pod], from, from + jiff::SignedDuration::from_hours(1)).records
        })
        .collect();
    hourly.sort_by_key(|record| (record.meter.clone(), record.start));
    assert_eq!(hourly, at_once);
}

#[test]
fn a_pod_that_ended_is_metered_until_its_last_container_finished() {
    let mut status = running_since("2026-11-24T00:00:00Z");
    status["phase"] = json!("Succeeded");
    status["containerStatuses"] = json!([
        {"name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-24T00:15:00Z"}}},
        {"name": "b", "image": "", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-24T00:36:00Z"}}},
    ]);
    let pod = pod(
        &json!({"containers": [container("a", "1", "0"), container("b", "1", "0")]}),
        &status,
    );
    let expected = [triple("cpu.reserved", "2026-11-24T00:00:00Z", "1.2")];
    assert_eq!(seen(&pod, "2026-11-24T00:00:00Z", "2026-11-24T05:00:00Z"), expected);
}

#[test]
fn a_pod_that_was_evicted_before_it_started_is_an_estimate() {
    let mut status = running_since("2026-11-24T00:00:00Z");
    status["phase"] = json!("Failed");
    let pod = pod(&json!({"containers": [container("a", "1", "0")]}), &status);
    assert_eq!(seen(&pod, "2026-11-24T00:00:00Z", "2026-11-24T05:00:00Z"), []);

    let disrupted = json!({"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-11-24T00:06:00Z"});
    status["conditions"].as_array_mut().unwrap().push(disrupted);
    let pod = self::pod(&json!({"containers": [container("a", "1", "0")]}), &status);
    let records = pods([&pod], at("2026-11-24T00:00:00Z"), at("2026-11-24T05:00:00Z")).records;
    assert_eq!(records[0].quantity.to_string(), "0.1");
    assert_eq!(records[0].completeness, Completeness::Estimated);
}

#[test]
fn a_pod_reserves_what_the_scheduler_counts() {
    let sidecar = |cpu: &str| {
        let mut container = container("sidecar", cpu, "0");
        container["restartPolicy"] = json!("Always");
        container
    };
    let init = |cpu: &str| container("init", cpu, "0");
    let main = |cpu: &str| container("main", cpu, "0");
    let table = [
        ("containers add up", json!({"containers": [main("1"), main("2")]}), "3"),
        (
            "a larger init container counts in their place",
            json!({"initContainers": [init("4")], "containers": [main("1")]}),
            "4",
        ),
        (
            "a smaller one does not count",
            json!({"initContainers": [init("1"), init("1")], "containers": [main("2")]}),
            "2",
        ),
        (
            "a sidecar adds to the containers",
            json!({"initContainers": [sidecar("1")], "containers": [main("2")]}),
            "3",
        ),
        (
            "an init container after a sidecar runs beside it",
            json!({"initContainers": [sidecar("1"), init("4")], "containers": [main("2")]}),
            "5",
        ),
        (
            "an init container before a sidecar does not",
            json!({"initContainers": [init("4"), sidecar("1")], "containers": [main("2")]}),
            "4",
        ),
        (
            "overhead is added",
            json!({"containers": [main("1")], "overhead": {"cpu": "250m"}}),
            "1.25",
        ),
        (
            "the pod's own requests stand in place of its containers'",
            json!({"containers": [main("1")], "resources": {"requests": {"cpu": "3"}}}),
            "3",
        ),
        (
            "a limit stands for a request",
            json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "2"}}}]}),
            "2",
        ),
    ];
    for (what, spec, cores) in table {
        let pod = pod(&spec, &running_since("2026-11-24T00:00:00Z"));
        let expected = [triple("cpu.reserved", "2026-11-24T00:00:00Z", cores)];
        assert_eq!(
            seen(&pod, "2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z"),
            expected,
            "{what}"
        );
    }
}

#[test]
fn accelerators_are_counted_in_device_hours() {
    let spec = json!({"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi"}}}]});
    let pod = pod(&spec, &running_since("2026-11-24T00:00:00Z"));
    assert_eq!(
        seen(&pod, "2026-11-24T00:00:00Z", "2026-11-24T00:30:00Z"),
        [triple("gpu.reserved", "2026-11-24T00:00:00Z", "1")]
    );
}

#[test]
fn a_pod_that_waits_for_a_node_and_a_pod_of_nobody_reserve_nothing() {
    let waiting = pod(
        &json!({"containers": [container("a", "1", "1Gi")]}),
        &json!({"phase": "Pending"}),
    );
    let mut nobodys = pod(
        &json!({"containers": [container("a", "1", "1Gi")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    nobodys.metadata.labels = None;
    assert_eq!(seen(&waiting, "2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z"), []);
    assert_eq!(seen(&nobodys, "2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z"), []);
}

#[test]
fn usage_without_a_system_is_the_agencys_all_the_same() {
    let mut pod = pod(
        &json!({"containers": [container("a", "1", "0")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    pod.metadata.labels.as_mut().unwrap().remove("maru.dev/system");
    let records = pods([&pod], at("2026-11-24T00:00:00Z"), at("2026-11-24T01:00:00Z")).records;
    assert_eq!(
        (records[0].agency.as_str(), records[0].system.as_str()),
        ("nts", "unassigned")
    );
}

#[test]
fn a_pod_that_cannot_be_read_is_named_and_keeps_no_other_from_being_metered() {
    let bad = pod(
        &json!({"containers": [container("a", "lots", "0")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    let good = pod(
        &json!({"containers": [container("a", "1", "0")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    let metered = pods([&bad, &good], at("2026-11-24T00:00:00Z"), at("2026-11-24T01:00:00Z"));
    assert_eq!(metered.records.len(), 1);
    let message = metered.refused[0].to_string();
    assert!(
        message.starts_with("pod nts/web-1: requests.cpu: `lots` is not a Kubernetes quantity"),
        "{message}"
    );
}
