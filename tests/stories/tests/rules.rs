//! The rules of the chart, tried by Prometheus' own tool.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::path::Path;
use tokio::process::Command;

async fn promtool(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(maru_test_cluster::promtool().await.unwrap());
    let output = command.args(arguments).current_dir(root).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn every_rule_is_one_and_every_alert_comes_when_it_should_and_only_then() {
    let checked = promtool(&[
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        "charts/maru/rules/maru.yaml",
    ])
    .await;
    assert!(checked.contains("SUCCESS"), "{checked}");
    let tested = promtool(&["test", "rules", "tests/rules/maru.yaml"]).await;
    assert!(tested.contains("SUCCESS"), "{tested}");
}

#[test]
fn each_alert_is_tried_and_the_page_says_what_to_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let (rules, tests, page) = (
        read("charts/maru/rules/maru.yaml"),
        read("tests/rules/maru.yaml"),
        read("docs/metrics.md"),
    );
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}")), "no test tries {alert}");
        assert!(
            page.contains(&format!("| `{alert}` |")),
            "docs/metrics.md does not name {alert}"
        );
    }
}
