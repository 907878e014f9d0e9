//! What a platform engineer sees in the usage records of pods.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use maru_meter::{Book, Completeness, Heard, Source, UsageRecord};
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn pod(spec: &Value, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web-1", "namespace": "nts", "uid": "u1",
            "labels": {"maru.dev/system": "hometax"},
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

/// The book of pods that were listed, in a namespace of the agency `nts`.
fn book_of(pods: &[&Pod], now: &str) -> Book {
    let mut book = Book::new(Source::Pods, at(now), SignedDuration::ZERO);
    book.namespace("nts", Some("nts"));
    book.begin_list();
    for pod in pods {
        book.see(&maru_meter::pods::observe(pod).0, at(now), Heard::Listed);
    }
    book.end_list();
    book.is_current(at(now));
    book
}

/// What is recorded of pods at a moment, by meter and time.
fn recorded(pods: &[&Pod], now: &str) -> Vec<UsageRecord> {
    let mut records = book_of(pods, now).due(at(now), usize::MAX).records;
    records.sort_by_key(|record| (record.meter.clone(), record.start));
    records
}

/// Meter, start and quantity of each record.
fn seen(pod: &Pod, now: &str) -> Vec<(String, String, String)> {
    let triple = |r: &UsageRecord| (r.meter.clone(), r.start.to_string(), r.quantity.to_string());
    recorded(&[pod], now).iter().map(triple).collect()
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
    assert_eq!(seen(&pod, "2026-11-24T02:00:00Z"), expected);
}

#[test]
fn metering_hour_by_hour_gives_the_records_that_metering_at_once_gives() {
    let pod = pod(
        &json!({"containers": [container("web", "300m", "100Mi")]}),
        &running_since("2026-11-24T00:10:07Z"),
    );
    let mut book = book_of(&[&pod], "2026-11-24T00:30:00Z");
    let mut hourly = Vec::new();
    for hour in 1..4 {
        let now = at("2026-11-24T00:00:00Z") + SignedDuration::from_hours(hour);
        book.is_current(now);
        let batch = book.due(now, usize::MAX);
        book.written(&batch);
        hourly.extend(batch.records);
    }
    hourly.sort_by_key(|record| (record.meter.clone(), record.start));
    assert_eq!(hourly, recorded(&[&pod], "2026-11-24T03:00:00Z"));
    assert_eq!(hourly[0].id, "pods/u1/cpu.reserved/2026-11-24T00:00:00Z");
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
    assert_eq!(seen(&pod, "2026-11-24T05:00:00Z"), expected);
}

#[test]
fn a_pod_that_was_evicted_before_it_started_is_an_estimate() {
    let mut status = running_since("2026-11-24T00:00:00Z");
    status["phase"] = json!("Failed");
    let pod = pod(&json!({"containers": [container("a", "1", "0")]}), &status);
    assert_eq!(seen(&pod, "2026-11-24T05:00:00Z"), []);

    let disrupted = json!({"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-11-24T00:06:00Z"});
    status["conditions"].as_array_mut().unwrap().push(disrupted);
    let pod = self::pod(&json!({"containers": [container("a", "1", "0")]}), &status);
    let records = recorded(&[&pod], "2026-11-24T05:00:00Z");
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
        assert_eq!(seen(&pod, "2026-11-24T01:00:00Z"), expected, "{what}");
    }
}

#[test]
fn accelerators_are_counted_in_device_hours() {
    let spec = json!({"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi"}}}]});
    let pod = pod(&spec, &running_since("2026-11-24T00:00:00Z"));
    assert_eq!(
        seen(&pod, "2026-11-24T01:00:00Z"),
        [triple("gpu.reserved", "2026-11-24T00:00:00Z", "2")]
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
    // Whatever a pod says of itself: its namespace is nobody's.
    nobodys.metadata.namespace = Some("kube-system".to_owned());
    nobodys.metadata.uid = Some("u2".to_owned());
    nobodys
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("maru.dev/agency".to_owned(), "nts".to_owned());
    let mut book = book_of(&[&waiting, &nobodys], "2026-11-24T01:00:00Z");
    book.namespace("kube-system", None);
    assert_eq!(book.due(at("2026-11-24T01:00:00Z"), usize::MAX).records, []);
}

#[test]
fn usage_without_a_system_is_the_agencys_all_the_same() {
    let mut pod = pod(
        &json!({"containers": [container("a", "1", "0")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    pod.metadata.labels = None;
    let records = recorded(&[&pod], "2026-11-24T01:00:00Z");
    assert_eq!(
        (records[0].agency.as_str(), records[0].system.as_str()),
        ("nts", "unassigned")
    );
}

#[test]
fn a_request_that_cannot_be_read_is_named() {
    let bad = pod(
        &json!({"containers": [container("a", "lots", "0")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    let message = maru_meter::pods::observe(&bad).1.unwrap().to_string();
    assert!(
        message.starts_with("pod nts/web-1: requests.cpu: `lots` is not a Kubernetes quantity"),
        "{message}"
    );
}

#[test]
fn a_pod_that_is_resized_in_place_counts_with_each_size_from_the_second_its_node_reported_it() {
    let sized = |asked: &str, has: &str, written: &str| {
        let mut status = running_since("2026-11-24T00:00:00Z");
        status["containerStatuses"] = json!([{
            "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
            "resources": {"requests": {"cpu": has}}, "allocatedResources": {"cpu": has},
        }]);
        let mut pod = pod(&json!({"containers": [container("a", asked, "0")]}), &status);
        pod.metadata.managed_fields = Some(vec![
            serde_json::from_value(json!({"manager": "kubelet", "operation": "Update", "time": written})).unwrap(),
        ]);
        pod
    };
    let small = sized("1", "1", "2026-11-24T00:00:05Z");
    let mut book = book_of(&[&small], "2026-11-24T00:01:00Z");
    // Asked for more at 15 minutes: it counts from then, as the scheduler counts it. Back to the first size at 45.
    for later in [
        sized("3", "1", "2026-11-24T00:15:00Z"),
        sized("3", "3", "2026-11-24T00:15:20Z"),
        sized("1", "3", "2026-11-24T00:44:50Z"),
        sized("1", "1", "2026-11-24T00:45:00Z"),
    ] {
        book.see(
            &maru_meter::pods::observe(&later).0,
            at("2026-11-24T00:50:00Z"),
            Heard::Live,
        );
    }
    let now = at("2026-11-24T01:00:00Z");
    book.is_current(now);
    let records = book.due(now, usize::MAX).records;
    assert_eq!(records[0].quantity.to_string(), "2", "15 min of 1, 30 of 3, 15 of 1");
    assert_eq!(records[0].completeness, Completeness::Complete);

    // The same, but nobody looked while it happened.
    let mut book = book_of(&[&small], "2026-11-24T00:01:00Z");
    let large = sized("3", "3", "2026-11-24T00:30:00Z");
    book.see(
        &maru_meter::pods::observe(&large).0,
        at("2026-11-24T00:50:00Z"),
        Heard::Listed,
    );
    book.is_current(now);
    let records = book.due(now, usize::MAX).records;
    assert_eq!(
        (records[0].quantity.to_string().as_str(), records[0].completeness),
        ("2", Completeness::Estimated)
    );
}

#[test]
fn a_size_that_can_never_be_does_not_count() {
    let mut status = running_since("2026-11-24T00:00:00Z");
    let infeasible = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible"});
    status["conditions"].as_array_mut().unwrap().push(infeasible);
    status["containerStatuses"] = json!([{
        "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "1"},
    }]);
    let pod = pod(&json!({"containers": [container("a", "1000", "0")]}), &status);
    assert_eq!(
        seen(&pod, "2026-11-24T01:00:00Z"),
        [triple("cpu.reserved", "2026-11-24T00:00:00Z", "1")]
    );
}

#[test]
fn a_late_report_of_the_end_takes_back_the_hours_that_were_recorded_since() {
    let running = pod(
        &json!({"containers": [container("a", "1", "0")]}),
        &running_since("2026-11-24T00:00:00Z"),
    );
    let mut book = book_of(&[&running], "2026-11-24T02:00:00Z");
    let first = book.due(at("2026-11-24T02:00:00Z"), usize::MAX);
    assert_eq!(first.records.len(), 2);
    // The node was cut off; the operator is killed, and what it wrote last is known to be on its way only.
    let mut book = Book::restore(Source::Pods, &book.checkpoint("1"), SignedDuration::ZERO);
    book.namespace("nts", Some("nts"));
    let mut status = running_since("2026-11-24T00:00:00Z");
    status["phase"] = json!("Failed");
    status["containerStatuses"] = json!([
        {"name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-24T00:30:00Z"}}},
    ]);
    let ended = pod(&json!({"containers": [container("a", "1", "0")]}), &status);
    book.see(
        &maru_meter::pods::observe(&ended).0,
        at("2026-11-24T02:10:00Z"),
        Heard::Live,
    );
    let second = book.due(at("2026-11-24T02:10:00Z"), usize::MAX).records;
    let quantities: Vec<String> = second.iter().map(|record| record.quantity.to_string()).collect();
    assert_eq!(quantities, ["0.5", "0"]);
    for (old, new) in first.records.iter().zip(&second) {
        assert_eq!(maru_meter::merge(old, new), maru_meter::Merge::Replaces);
    }
}

#[test]
fn a_pod_that_was_deleted_before_anybody_heard_of_it_is_no_estimate_and_one_that_was_resized_is() {
    for (generation, expected) in [(2, Completeness::Complete), (3, Completeness::Estimated)] {
        let mut status = running_since("2026-11-24T00:00:00Z");
        status["phase"] = json!("Failed");
        status["containerStatuses"] = json!([
            {"name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 137, "finishedAt": "2026-11-24T00:15:00Z"}}},
        ]);
        let mut pod = pod(&json!({"containers": [container("a", "1", "0")]}), &status);
        pod.metadata.generation = Some(generation);
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-24T00:15:30Z")).unwrap();
        let records = recorded(&[&pod], "2026-11-24T05:00:00Z");
        assert_eq!(records[0].quantity.to_string(), "0.25");
        assert_eq!(records[0].completeness, expected);
    }
}
