//! `kubectl maru rate` as a person at a terminal sees it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Command, Output};

fn maru(command: &str, arguments: &[&str]) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut maru = Command::new(env!("CARGO_BIN_EXE_kubectl-maru"));
    maru.current_dir(here).arg(command).args(arguments).output().unwrap()
}

fn rate(arguments: &[&str]) -> Output {
    maru("rate", arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one line that a wrong input gives: exit code 2, and nothing on the output.
fn refused(arguments: &[&str]) -> String {
    let output = rate(arguments);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(2), String::new()),
        "{}",
        text(&output.stderr)
    );
    text(&output.stderr).trim_end().to_owned()
}

#[test]
fn bills_as_a_table() {
    let output = rate(&["-f", "card.yaml", "--usage", "usage.jsonl", "--period", "2026-10"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn one_agencys_bill_as_json() {
    let arguments = [
        "-f",
        "card.yaml",
        "--usage",
        "usage.jsonl",
        "--period",
        "2026-10",
        "--agency",
        "nts",
        "-o",
        "json",
    ];
    let output = rate(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn several_periods_are_rated_one_after_another() {
    let output = rate(&[
        "-f",
        "card.yaml",
        "--usage",
        "usage.jsonl",
        "--period",
        "2026-09..2026-11",
    ]);
    let heads: Vec<String> = text(&output.stdout)
        .lines()
        .filter(|line| line.contains(" · "))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        heads,
        [
            "moel · 2026-10 · Invoice draft · KRW",
            "nts · 2026-10 · Invoice draft · KRW"
        ]
    );
}

#[test]
fn use_that_became_known_late_is_corrected_on_the_next_months_bill() {
    let folder = tempfile::tempdir().unwrap();
    let usage = folder.path().join("usage.jsonl");
    let line = |id: &str, quantity: &str, known: &str| {
        format!(
            "{{\"id\":\"{id}\",\"agency\":\"nts\",\"system\":\"hometax\",\"meter\":\"cpu.reserved\",\"quantity\":\"{quantity}\",\
             \"start\":\"2026-10-05T00:00:00Z\",\"end\":\"2026-10-05T01:00:00Z\"{known}}}\n"
        )
    };
    let late = line("2", "10", ",\"recordedAt\":\"2026-11-20T00:00:00Z\"");
    std::fs::write(&usage, line("1", "100", "") + &late).unwrap();
    let usage = usage.to_str().unwrap();
    let arguments = ["-f", "card.yaml", "--usage", usage, "--period", "2026-10..2026-11"];
    insta::assert_snapshot!(text(&rate(&arguments).stdout));
    let document: serde_json::Value =
        serde_json::from_slice(&rate(&[&arguments[..], &["-o", "json"]].concat()).stdout).unwrap();
    let november = &document["bills"][1];
    assert_eq!(
        (&november["period"], &november["subtotal"]),
        (&"2026-11".into(), &"454".into())
    ); // 425, and 7 % of 4675 less that of 4250: 327 − 298
    for line in november["lines"].as_array().unwrap() {
        assert!(
            ["2026-10/1", "2026-10/2"].contains(&line["corrects"].as_str().unwrap()),
            "{line}"
        );
        assert_eq!(line["periodStart"], "2026-09-30T15:00:00Z");
    }
}

#[test]
fn what_a_standard_rate_recovered_is_said_with_the_rate_that_would_settle_it() {
    let folder = tempfile::tempdir().unwrap();
    let system = folder.path().join("system.yaml");
    let manifest = "apiVersion: maru.dev/v1alpha1
kind: AgencySystem
metadata: {name: docs, namespace: mois}
spec:
  external: {location: \"Data centre Daejeon\"}
  cost:
    currency: KRW
    operations: [{name: maintenance, monthly: \"1000\", from: 2026-01-01}]
  sharing:
    acceptsAll: true
    driver: requests.count
    mode: StandardRate
    standardRate: {fiscalYear: 2026, unitPrice: \"8\", carryForwardLimit: \"100\"}
";
    std::fs::write(&system, manifest).unwrap();
    let usage = folder.path().join("usage.jsonl");
    let line = "{\"id\":\"1\",\"agency\":\"mois\",\"system\":\"docs\",\"meter\":\"requests.count\",\"quantity\":\"50\",\"start\":\"2026-10-05T00:00:00Z\",\"end\":\"2026-10-05T01:00:00Z\"}";
    std::fs::write(&usage, line).unwrap();
    let (system, usage) = (system.to_str().unwrap(), usage.to_str().unwrap());
    let arguments = ["-f", "card.yaml", system, "--usage", usage, "--period", "2026-10"];
    let table = text(&rate(&arguments).stdout);
    let recovery = "recovery: mois/docs in 2026-10: cost 1,000, charged 400, balance -600 of 100 allowed, which it is past; a rate of 32 would settle \
                    it in a year like this";
    assert!(table.contains(recovery), "{table}"); // (1000 + 600) / 50
    assert!(table.contains("carryForwardLimit allows 100"), "{table}");
    let document: serde_json::Value =
        serde_json::from_slice(&rate(&[&arguments[..], &["-o", "json"]].concat()).stdout).unwrap();
    let recovery = &document["recoveries"][0];
    assert_eq!(
        (&recovery["balance"], &recovery["nextUnitPrice"]),
        (&"-600".into(), &"32".into())
    );
}

#[test]
fn what_a_subscriber_saves_stands_on_its_bill() {
    let arguments = [
        "-f",
        "card.yaml",
        "systems.yaml",
        "--usage",
        "usage.jsonl",
        "--period",
        "2026-10",
        "--agency",
        "moel",
    ];
    let table = text(&rate(&arguments).stdout);
    assert!(
        table.contains("saving: mois/docs costs 39,966,694 shared and 27,000,000 alone: 12,966,694 more"),
        "{table}"
    );
    let document: serde_json::Value =
        serde_json::from_slice(&rate(&[&arguments[..], &["-o", "json"]].concat()).stdout).unwrap();
    let saving = &document["bills"][0]["savings"][0];
    assert_eq!(
        (&saving["system"], &saving["standalone"]),
        (&"mois/docs".into(), &"27000000".into())
    );
}

#[test]
fn in_which_order_manifests_and_usage_are_written_changes_nothing() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let read = |name: &str| std::fs::read_to_string(here.join(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, parts: Vec<&str>, between: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, parts.join(between)).unwrap();
        path.display().to_string()
    };
    let (card, systems, usage) = (read("card.yaml"), read("systems.yaml"), read("usage.jsonl"));
    // A subscription that nobody accepts: it is in the warnings.
    let stranger = "apiVersion: maru.dev/v1alpha1\nkind: SystemSubscription\nmetadata: {name: docs, namespace: NAME}\nspec: {systemRef: {namespace: mois, name: docs}, from: 2026-03-01}\n";
    let strangers = ["nts", "zzz", "aaa"].map(|name| stranger.replace("NAME", name));
    let documents = || {
        card.split("---\n")
            .chain(systems.split("---\n"))
            .chain(strangers.iter().map(String::as_str))
    };
    let forwards = write("forwards.yaml", documents().collect(), "\n---\n");
    let backwards = write(
        "backwards.yaml",
        documents().collect::<Vec<_>>().into_iter().rev().collect(),
        "\n---\n",
    );
    let last_first = write("usage.jsonl", usage.lines().rev().collect(), "\n");
    let printed = |manifests: &str, usage: &str| {
        let output = rate(&[
            "-f",
            manifests,
            "--usage",
            usage,
            "--period",
            "2026-10..2026-11",
            "-o",
            "json",
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let straight = printed(&forwards, "usage.jsonl");
    assert!(straight.contains("`aaa` to mois/docs does not count"), "{straight}");
    assert_eq!(printed(&backwards, &last_first), straight);
}

#[test]
fn a_wrong_manifest_is_named_by_file_and_line_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let card = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/card.yaml")).unwrap();
    let table = [
        ("\"42.5\"", "42.5", "11: The string value [42.5] must be quoted"),
        (
            "minimumCharge",
            "minimalCharge",
            "23: spec.versions[0].minimalCharge: is not a field of this kind: allowed are the fields that `kubectl explain` lists",
        ),
        (
            "\"10000000\"",
            "\"1000000\"",
            "18: spec.versions[0].items[2].tiers[1].upTo: 1000000 is not above the tier before it, 1000000: allowed are bounds that rise",
        ),
        (
            "KRW",
            "WON",
            "5: spec.currency: `WON` is not a currency: allowed are ISO 4217 codes with a minor unit, such as KRW",
        ),
        (
            "Asia/Seoul",
            "Asia/Busan",
            "6: spec.timeZone: `Asia/Busan` is not a time zone: allowed are IANA names, such as Asia/Seoul",
        ),
        (
            "rate: \"0.10\"",
            "rate: \"10\"",
            "25: spec.taxes[0].rate: 10 is more than the whole: allowed is 0 to 1, such as \"0.1\" for 10 %",
        ),
        (
            "model: Package",
            "model: Pack",
            "20: unknown variant `Pack`, expected one of PerUnit, Graduated, Volume, Package, Percentage",
        ),
        ("timeZone", "timezone", "25: missing field `timeZone`"),
        (
            "unitPrice: \"42.5\"",
            "unitPrice: \"-42.5\"",
            "11: spec.versions[0].items[0].unitPrice: -42.5 is negative: allowed is 0 or more",
        ),
        (
            "of: [cpu.reserved,",
            "of: [gpu.reserved,",
            "22: spec.versions[0].items[5].of: `gpu.reserved` has no item in this version: allowed are meters that are priced here",
        ),
        ("{name: nts}", "{}", "29: metadata.name: is missing: allowed is a name"),
    ];
    for (right, wrong, message) in table {
        let file = folder.path().join("card.yaml");
        std::fs::write(&file, card.replace(right, wrong)).unwrap();
        let file = file.to_str().unwrap();
        let refused = refused(&["-f", file, "--usage", "usage.jsonl", "--period", "2026-10"]);
        assert_eq!(refused, format!("{file}:{message}"));
    }
}

#[test]
fn a_wrong_usage_file_is_named_by_file_and_line_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let usage = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/usage.jsonl")).unwrap();
    let first = usage.lines().next().unwrap();
    let twice = format!("{usage}{}\n", first.replace("23.5", "23.6"));
    let table = [
        (
            usage.replace("\"23.5\"", "23.5"),
            "1: is not a usage record: invalid type: floating point `23.5`, expected a string",
        ),
        (
            usage.replace("160.5", "1,5"),
            "2: is not a usage record: `1,5` is not a decimal number",
        ),
        (
            usage.replace("160.5", "-1"),
            "2: usage record `2`: quantity -1 is negative; allowed is zero or more",
        ),
        (
            usage.replace("T01:00:00Z", "T00:00:00+09:00"),
            "1: usage record `1`: end 2026-10-04T15:00:00Z is before start 2026-10-05T00:00:00Z",
        ),
        (
            twice,
            "5: usage record `1` is there twice with other content: allowed is one content for an id",
        ),
        (
            usage[..usage.len() - 30].to_owned(),
            "4: is not a usage record: EOF while parsing a value",
        ),
        (
            usage.replace("\"id\":\"3\"", "\"id\":\"3\",\"unit\":\"minute\""),
            "3: usage record `3`: unit `minute` of meter `build.minutes` is not the price book's; allowed is `hour`, or none",
        ),
        (
            "x".repeat(2 << 20),
            "1: is longer than 1048576 bytes: allowed is one usage record a line",
        ),
    ];
    for (content, message) in table {
        let file = folder.path().join("usage.jsonl");
        std::fs::write(&file, content).unwrap();
        let file = file.to_str().unwrap();
        let refused = refused(&["-f", "card.yaml", "--usage", file, "--period", "2026-10"]);
        assert!(refused.starts_with(&format!("{file}:{message}")), "{refused}");
    }
}

#[test]
fn a_wrong_period_and_missing_files_are_refused() {
    let refused = |arguments: &[&str]| refused(arguments);
    assert!(
        refused(&["-f", "card.yaml", "--usage", "usage.jsonl", "--period", "2026-13"])
            .starts_with("--period: `2026-13` is not a period")
    );
    assert!(
        refused(&["-f", "none.yaml", "--usage", "usage.jsonl", "--period", "2026-10"])
            .starts_with("none.yaml: No such file")
    );
    assert!(
        refused(&["-f", "card.yaml", "--usage", "none.jsonl", "--period", "2026-10"])
            .starts_with("none.jsonl: No such file")
    );
}

#[test]
fn schedules_of_systems_as_a_table_and_as_json() {
    let output = maru("schedule", &["-f", "systems.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
    let output = maru("schedule", &["-f", "systems.yaml", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &document["schedules"][1]["rows"][0];
    assert_eq!(
        (document["schedules"][1]["system"].as_str(), row["month"].as_u64()),
        (Some("mois/docs"), Some(1))
    );
    assert_eq!(row["principal"].as_str(), Some("223320"));
}

#[test]
fn a_shared_system_is_on_the_bills_of_all_who_share_it() {
    let arguments = [
        "-f",
        "card.yaml",
        "systems.yaml",
        "--usage",
        "usage.jsonl",
        "--period",
        "2026-05",
        "--agency",
        "moel",
    ];
    let output = rate(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_wrong_cost_or_subscription_is_named_by_file_and_line_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let systems = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systems.yaml")).unwrap();
    let table = [
        (
            "amount: \"1000\"",
            "amount: \"1000.5\"",
            "9: spec.cost.builds[0].amount: 1000.5 has parts of a minor unit: allowed in KRW are 0 decimals",
        ),
        (
            "residual: \"100000\"",
            "residual: \"1000001\"",
            "10: spec.cost.builds[1].residual: 1000001 is more than the amount: allowed is up to 1000000",
        ),
        (
            "months: 3",
            "months: 0",
            "9: spec.cost.builds[0].months: 0 is not allowed: allowed are 1 to 600",
        ),
        (
            ", annualRate: \"0.06\"",
            "",
            "10: spec.cost.builds[1].annualRate: is missing: Annuity needs it, such as \"0.045\" for 4.5 %",
        ),
        (
            "2026-01-15",
            "2026-02-30",
            "9: spec.cost.builds[0].inServiceDate: `2026-02-30` is not a date: allowed is YYYY-MM-DD, such as 2026-01-31",
        ),
        (
            "name: search",
            "name: first-build",
            "10: spec.cost.builds[1].name: `first-build` is there twice: allowed is one build of a name",
        ),
        (
            "fixedShare: \"0.20\"",
            "fixedShare: \"1.2\"",
            "15: spec.sharing.fixedShare: 1.2 is more than the whole: allowed is 0 to 1, such as \"0.1\" for 10 %",
        ),
        (
            "from: 2026-03-01\n",
            "from: 2026-03-01\n  until: 2026-03-01\n",
            "26: spec.until: is not after from: allowed is a later day, or none",
        ),
        (
            "metadata: {name: docs, namespace: moel}",
            "metadata: {name: docs}",
            "21: metadata.namespace: is missing: allowed is the namespace of the SystemSubscription",
        ),
    ];
    for (right, wrong, message) in table {
        let file = folder.path().join("systems.yaml");
        std::fs::write(&file, systems.replace(right, wrong)).unwrap();
        let file = file.to_str().unwrap();
        let refused = refused(&["-f", "card.yaml", file, "--usage", "usage.jsonl", "--period", "2026-10"]);
        assert_eq!(refused, format!("{file}:{message}"));
    }
}

/// The same records as `usage.jsonl`.
const CSV: &str = "\
id,agency,system,meter,quantity,start,end
1,nts,hometax,cpu.reserved,23.5,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z
2,nts,hometax,memory.reserved,160.5,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z
3,nts,hometax,build.minutes,0.25,2026-10-05T00:00:00Z,2026-10-05T00:15:00Z
4,moel,unassigned,disk.spun,3.333333333333,2026-10-05T00:00:00Z,2026-10-05T00:15:00Z
";

#[test]
fn the_same_usage_as_csv_gives_the_same_bills() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.csv");
    std::fs::write(&file, CSV).unwrap();
    let bills = |usage: &str| rate(&["-f", "card.yaml", "--usage", usage, "--period", "2026-10", "-o", "json"]);
    let (lines, csv) = (bills("usage.jsonl"), bills(file.to_str().unwrap()));
    assert!(csv.status.success(), "{}", text(&csv.stderr));
    assert_eq!(text(&csv.stdout), text(&lines.stdout));
}

#[test]
fn a_wrong_csv_is_named_by_file_and_line_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (
            CSV.replace("meter,", "metre,"),
            "1: column `metre` is not of a usage record: allowed are the columns id,",
        ),
        (CSV.replace("id,agency", "id,id"), "1: column `id` is there twice"),
        (CSV.replace(",end\n", "\n"), "1: column `end` is missing"),
        (
            CSV.replace("160.5", "1e2"),
            "3: column `quantity`: `1e2` is not a decimal number",
        ),
        (
            CSV.replace("160.5", "-1"),
            "3: usage record `2`: quantity -1 is negative",
        ),
        (CSV.replace("2,nts", "2,"), "3: usage record field `agency`: 0 bytes"),
        (
            CSV.replace("00:15:00Z\n4", "later\n4"),
            "4: column `end`: `2026-10-05Tlater` is not an instant",
        ),
        (
            CSV.replace("\n2,", "\n1,"),
            "3: usage record `1` is there twice with other content",
        ),
        (CSV[..CSV.len() - 30].to_owned(), "5: has 6 fields: allowed are 7"),
        (
            format!("{CSV}{}", "x".repeat(4 << 20)),
            "6: is longer than 1048576 bytes",
        ),
        (String::new(), "1: column `id` is missing"),
    ];
    for (content, message) in table {
        let file = folder.path().join("usage.csv");
        std::fs::write(&file, content).unwrap();
        let file = file.to_str().unwrap();
        let refused = refused(&["-f", "card.yaml", "--usage", file, "--period", "2026-10"]);
        assert!(refused.starts_with(&format!("{file}:{message}")), "{refused}");
    }
}

#[test]
fn a_usage_file_of_an_unknown_suffix_is_refused() {
    let refused = refused(&["-f", "card.yaml", "--usage", "card.yaml", "--period", "2026-10"]);
    assert!(
        refused.starts_with("card.yaml: is in a form that is not known by its suffix: allowed are .jsonl"),
        "{refused}"
    );
}

#[test]
fn focus_costs_sum_to_what_is_payable() {
    let print = |output| {
        rate(&[
            "-f",
            "card.yaml",
            "--usage",
            "usage.jsonl",
            "--period",
            "2026-10",
            "-o",
            output,
        ])
    };
    let (focus, json) = (print("focus"), print("json"));
    assert!(focus.status.success(), "{}", text(&focus.stderr));
    let mut reader = csv::Reader::from_reader(focus.stdout.as_slice());
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let mut costs = std::collections::BTreeMap::<String, i64>::new();
    for row in reader.records() {
        let row = row.unwrap();
        *costs.entry(row[place("BillingAccountId")].to_owned()).or_default() +=
            row[place("BilledCost")].trim_end_matches(".0").parse::<i64>().unwrap();
    }
    let bills: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    for bill in bills["bills"].as_array().unwrap() {
        let total: i64 = bill["total"].as_str().unwrap().parse().unwrap();
        assert_eq!(costs.remove(bill["agency"].as_str().unwrap()), Some(total));
    }
    assert!(costs.is_empty());
}

#[test]
fn csv_and_yaml_say_what_json_says() {
    let print = |output| {
        rate(&[
            "-f",
            "card.yaml",
            "--usage",
            "usage.jsonl",
            "--period",
            "2026-10",
            "-o",
            output,
        ])
    };
    let json: serde_json::Value = serde_json::from_slice(&print("json").stdout).unwrap();
    let yaml: serde_json::Value = serde_saphyr::from_str(&text(&print("yaml").stdout)).unwrap();
    assert_eq!(yaml, json);
    let output = print("csv");
    let amounts: Vec<String> = csv::Reader::from_reader(output.stdout.as_slice())
        .records()
        .map(|row| row.unwrap()[12].to_owned())
        .collect();
    let bills = json["bills"].as_array().unwrap().iter();
    let lines = bills.flat_map(|bill| bill["lines"].as_array().unwrap());
    let expected: Vec<&str> = lines.map(|line| line["amount"].as_str().unwrap()).collect();
    assert_eq!(amounts, expected);
}

#[test]
fn comparing_shows_both_bills_and_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let card = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/card.yaml")).unwrap();
    let other = folder.path().join("other.yaml");
    std::fs::write(&other, card.replace("\"42.5\"", "\"85\"")).unwrap();
    let other = other.to_str().unwrap();
    let arguments = [
        "-f",
        "card.yaml",
        "--usage",
        "usage.jsonl",
        "--period",
        "2026-10",
        "--agency",
        "nts",
    ];
    let compare = |output: &str| rate(&[&arguments[..], &["--compare", other, "-o", output]].concat());
    let document: serde_json::Value = serde_json::from_slice(&compare("json").stdout).unwrap();
    let difference = &document["differences"][0];
    let number = |name: &str| difference[name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(number("total") + number("difference"), number("other"));
    // 23.5 × 42.5 = 998.75 more, with its 7 % support (69.9) and the tax of both.
    assert!((1_170..=1_180).contains(&number("difference")), "{difference}");
    let table = text(&compare("table").stdout);
    assert_eq!(
        table.matches("nts · 2026-10 · Invoice draft · KRW").count(),
        2,
        "{table}"
    );
    assert!(table.contains("Difference, other prices less these"), "{table}");
}

#[test]
fn shells_can_complete_the_command() {
    let script = text(&maru("completion", &["bash"]).stdout);
    assert!(script.contains("kubectl-maru") && script.contains("--compare"));
}
