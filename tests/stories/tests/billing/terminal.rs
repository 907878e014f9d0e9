//! What somebody at a terminal does with bills: exports what they were made from, verifies, estimates and credits.

use clap::Parser;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use maru_crds::{Agency, AgencySystem, RateCard};
use maru_stories::system;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What people would export, as files for `kubectl maru verify`.
pub(crate) async fn exported(client: &Client, folder: &Path) -> PathBuf {
    let mut text = String::new();
    let mut add = |kind: &str, object: Value| {
        let mut object = object;
        object["apiVersion"] = json!("maru.dev/v1alpha1");
        object["kind"] = json!(kind);
        text.extend(["---\n", &object.to_string(), "\n"]);
    };
    let everything = ListParams::default();
    for agency in Api::<Agency>::all(client.clone()).list(&everything).await.unwrap() {
        add(
            "Agency",
            json!({"metadata": {"name": agency.name_any()}, "spec": agency.spec}),
        );
    }
    for system in Api::<AgencySystem>::all(client.clone())
        .list(&everything)
        .await
        .unwrap()
    {
        let metadata = json!({"name": system.name_any(), "namespace": system.namespace()});
        add("AgencySystem", json!({"metadata": metadata, "spec": system.spec}));
    }
    let card = Api::<RateCard>::all(client.clone()).get("platform").await.unwrap();
    add("RateCard", json!({"metadata": {"name": "platform"}, "spec": card.spec}));
    let file = folder.join("exported.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

pub(crate) fn verified(number: &str, ledger: &str, file: &Path, lake: &Path) -> String {
    let (file, lake) = (file.to_str().unwrap(), lake.to_str().unwrap());
    let arguments = [
        "kubectl-maru",
        "verify",
        number,
        "--ledger",
        ledger,
        "-f",
        file,
        "--usage",
        lake,
    ];
    let command = maru_cli::Cli::try_parse_from(arguments).unwrap();
    let printed = std::thread::scope(|scope| scope.spawn(|| command.run().unwrap()).join().unwrap());
    let text = String::from_utf8(printed.bytes).unwrap();
    assert!(printed.agrees, "{text}");
    text
}

/// What a bigger system would cost, beside what stands now, as somebody at a terminal sees it.
pub(crate) fn it_is_estimated(kubeconfig: &Path, folder: &Path) {
    let mut bigger = system("mois", "docs");
    bigger["spec"]["components"][0]["resources"] = json!({"cpu": "1", "memory": "1Gi"});
    bigger["spec"]["components"][0]["replicas"] = json!({"fixed": 2});
    let file = folder.join("bigger.json");
    std::fs::write(&file, bigger.to_string()).unwrap();
    let (file, kubeconfig) = (file.to_str().unwrap(), kubeconfig.to_str().unwrap());
    let said = |more: &[&str]| {
        let arguments = ["kubectl-maru", "estimate", "-f", file, "--kubeconfig", kubeconfig];
        let command = maru_cli::Cli::try_parse_from(arguments.iter().chain(more)).unwrap();
        let printed = std::thread::scope(|scope| scope.spawn(|| command.run()).join().unwrap());
        printed
            .map(|printed| String::from_utf8(printed.bytes).unwrap())
            .map_err(|problem| problem.to_string())
    };
    let told = said(&[]).unwrap_err();
    assert!(told.contains("name one with --rate-card: dearer, platform"), "{told}");
    let month = ["--rate-card", "platform", "--period", "2026-10"];
    let json = said(&[&month[..], &["-o", "json"]].concat()).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    // A fiftieth of a core for 744 hours at 42.5 is 632.4, two cores are 63,240; tax comes on top.
    let difference = |agency: &str, total: &str, other: &str, difference: &str| json!({"agency": agency, "period": "2026-10", "currency": "KRW", "total": total, "other": other, "difference": difference});
    assert_eq!(
        json["differences"],
        json!([
            difference("mois", "695", "69564", "68869"),
            difference("nts", "695", "695", "0")
        ])
    );
    let table = said(&month).unwrap();
    for words in ["68,869", "assumed: 2026-10 has 744 hours", "memory.reserved"] {
        assert!(table.contains(words), "{table}");
    }
}

/// What somebody at a terminal is told who gives back a part of the first line of November's bill of `mois`.
pub(crate) fn credited(ledger: &str, line: &str, reference: &str) -> Result<Value, String> {
    let arguments = [
        "kubectl-maru",
        "credit",
        "2026-000003",
        "--line",
        line,
        "--reference",
        reference,
        "--reason",
        "metered twice",
        "--ledger",
        ledger,
        "-o",
        "json",
    ];
    let command = maru_cli::Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
    let printed = std::thread::scope(|scope| scope.spawn(|| command.run()).join().unwrap());
    let printed = printed.map_err(|problem| problem.to_string())?;
    Ok(serde_json::from_slice::<Value>(&printed.bytes).unwrap()["bills"][0].take())
}
