//! What a reader of bills sees at a terminal, with no right but to read the bills of the own agency.

use crate::stage::Installed;
use crate::tenants::others;
use clap::Parser;
use maru_cli::Cli;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A kubeconfig of somebody by name, whose context is in a namespace.
async fn kubeconfig(stage: &Installed, person: &str, namespace: &str) -> PathBuf {
    let text = tokio::fs::read_to_string(stage.cluster.kubeconfig()).await.unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"]["as"] = json!(person);
        user["user"]["as-groups"] = json!(["system:authenticated"]);
    }
    for context in config["contexts"].as_array_mut().unwrap() {
        context["context"]["namespace"] = json!(namespace);
    }
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{person}-{namespace}.kubeconfig"));
    tokio::fs::write(&file, config.to_string()).await.unwrap();
    file
}

/// What `kubectl maru` says with these arguments.
async fn said(kubeconfig: &std::path::Path, arguments: &[&str]) -> Result<String, String> {
    let file = kubeconfig.to_str().unwrap();
    let all = ["kubectl-maru"].iter().chain(arguments).copied();
    let all: Vec<&str> = all.chain(["--kubeconfig", file]).collect();
    let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
    let printed = tokio::task::spawn_blocking(move || cli.run()).await.unwrap();
    let printed = printed.map_err(|problem| problem.to_string())?;
    Ok(String::from_utf8(printed.bytes).unwrap())
}

#[tokio::test]
async fn a_reader_of_bills_lists_reads_and_recalculates_them() {
    let stage = Installed::shared().await;
    others(stage).await;
    let reader = kubeconfig(stage, "red-reader", "red").await;
    let listed = said(&reader, &["bills"]).await.unwrap();
    let words: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        words,
        ["-", "2026-10", "nts", "Invoice", "Draft", "497,950", "KRW", "2026-10"],
        "{listed}"
    );
    let json: Value = serde_json::from_str(&said(&reader, &["bills", "-o", "json"]).await.unwrap()).unwrap();
    assert_eq!(json["bills"][0]["total"], "497950");
    assert_eq!(json["bills"][0]["status"], "Draft");
    let csv = said(&reader, &["bills", "-o", "csv"]).await.unwrap();
    assert_eq!(
        csv,
        "number,period,agency,kind,status,total,currency,namespace,name\n,2026-10,nts,Invoice,Draft,497950,KRW,red,2026-10\n"
    );
    assert_eq!(
        said(&reader, &["bills", "--period", "2026-09"]).await.unwrap(),
        "No bills in namespace red; -n NAME looks in another namespace, -A in all.\n"
    );

    let bill = said(&reader, &["bill", "2026-10"]).await.unwrap();
    for words in [
        "nts · 2026-10 · Invoice draft · KRW",
        "23.5",
        "core-hour",
        "451,613",
        "497,950",
    ] {
        assert!(bill.contains(words), "{bill}");
    }
    let json: Value = serde_json::from_str(&said(&reader, &["bill", "2026-10", "-o", "json"]).await.unwrap()).unwrap();
    assert_eq!(json["bills"][0]["lines"][2]["amount"], "451613");
    let csv = said(&reader, &["bill", "2026-10", "-o", "csv"]).await.unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let used = said(&reader, &["usage"]).await.unwrap();
    let words: Vec<&str> = used.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(used.lines().next(), Some("2026-10"), "{used}");
    assert_eq!(words[2..], ["cpu.reserved", "23.5", "core-hour", "all", "█"], "{used}");
    let told = said(&reader, &["bill", "2026-10", "--explain"]).await.unwrap();
    for words in [
        "23.5 core-hour × 42.5 = 998.75, rounded up to 999",
        "by weight        7 of 31 that all have together",
        "2,000,000 × 0.225806451613… = 451,612.903225806452…, rounded up to 451,613",
        "the lines make 452,682, with tax of 45,268 it is 497,950 KRW",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn whoever_may_not_read_a_bill_or_names_none_is_told_what_to_do() {
    let stage = Installed::shared().await;
    let reader = kubeconfig(stage, "red-reader", "blue").await;
    let told = said(&reader, &["bills"]).await.unwrap_err();
    assert!(
        told.contains("you may not read bills in namespace blue")
            && told.contains("with -n")
            && told.contains("spec.billReaders"),
        "{told}"
    );
    let told = said(&reader, &["bills", "-A"]).await.unwrap_err();
    assert!(told.contains("you may not read bills in any namespace"), "{told}");
    let told = said(&reader, &["bill", "2026-000099", "-n", "red"]).await.unwrap_err();
    assert!(
        told.contains("there is no bill `2026-000099` in namespace red")
            && told.contains("-A in all")
            && told.contains("--ledger"),
        "{told}"
    );
}
