//! The generated files are those that the types say, and survive the way through YAML and Helm.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use std::{fs, path::Path, process::Command};

use maru_crds::manifests;
use serde_json::Value;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_committed_files_are_up_to_date() {
    let output = Command::new(env!("CARGO_BIN_EXE_maru-crdgen"))
        .arg("--check")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn yaml_says_what_the_types_say() {
    for manifest in manifests().unwrap() {
        let text = fs::read_to_string(repository().join(format!("crds/manifests/{}.yaml", manifest.plural))).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, manifest.definition);
    }
}

#[test]
fn the_chart_has_the_same_definitions_and_helm_keeps_them() {
    for manifest in manifests().unwrap() {
        let path = repository().join(format!("charts/maru-crds/templates/{}.yaml", manifest.plural));
        let text = fs::read_to_string(path).unwrap();
        assert!(
            !text.contains("{{"),
            "Helm would read {} as a template of its own",
            manifest.plural
        );
        let mut read: Value = serde_saphyr::from_str(&text).unwrap();
        let annotations = read["metadata"].as_object_mut().unwrap().remove("annotations").unwrap();
        assert_eq!(annotations, serde_json::json!({"helm.sh/resource-policy": "keep"}));
        assert_eq!(read, manifest.definition);
    }
}
