//! Two months are closed: bills are issued, numbered and verified, a late record comes, and the next bill corrects it.

use crate::calendar::{self, Months};
use crate::data::documents_token;
use crate::install::operators_pod;
use crate::parts::{Outcome, Parts, eventually, finish, indented};
use crate::web::Web;
use jiff::Timestamp;
use jiff::civil::Date;
use maru_test_postgres::Postgres;
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio::process::Command;

/// Requests of each ministry on each day of the two months.
const A_DAY: [(&str, u32); 4] = [("mois", 10_000), ("nts", 40_000), ("moel", 30_000), ("mohw", 20_000)];
/// What a gateway had not reported in time.
const LATE: (&str, u32) = ("moel", 500_000);

/// A month that was closed: its name and its bills, as `kubectl get bills` shows them.
pub(crate) struct Closed {
    pub(crate) period: String,
    pub(crate) bills: Vec<Value>,
}

/// Closes two months one after the other.
pub(crate) async fn closed(parts: &Parts, postgres: &Postgres, months: &Months) -> Outcome<Vec<Closed>> {
    parts.say("The gateway reports the requests of the two months before, a day at a time.");
    for month in [months.first, months.second] {
        report(parts, &usage_of(month)?).await?;
    }
    parts.say(&format!(
        "{} is closed: bills with numbers without gaps.",
        calendar::name(months.first)
    ));
    let first = close(parts, postgres, months.first).await?;

    parts.say(&format!(
        "{} requests of {} come late: they were of {}, whose bills are issued.",
        LATE.1,
        LATE.0,
        calendar::name(months.first)
    ));
    let noons = calendar::noons(months.first)?;
    report(parts, &[event("late", noons[14], LATE.0, LATE.1)]).await?;
    parts.say(&format!("{} is closed.", calendar::name(months.second)));
    let second = close(parts, postgres, months.second).await?;
    corrected(&second)?;
    Ok(vec![first, second])
}

/// Says which lines correct an earlier bill.
fn corrected(month: &Closed) -> Outcome<()> {
    let mut lines = 0;
    for bill in &month.bills {
        for line in bill["spec"]["lines"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if line["corrects"].is_string() {
                lines += 1;
                let (agency, amount) = (text(&bill["spec"]["agency"]), text(&line["amount"]));
                println!("     {agency}: {amount} KRW corrects {}", text(&line["corrects"]));
            }
        }
    }
    if lines == 0 {
        return Err("the late requests are on no bill".into());
    }
    Ok(())
}

fn usage_of(month: Date) -> Outcome<Vec<Value>> {
    let mut events = Vec::new();
    for noon in calendar::noons(month)? {
        for (agency, requests) in A_DAY {
            events.push(event(&format!("{agency}-{noon}"), noon, agency, requests));
        }
    }
    Ok(events)
}

fn event(id: &str, time: Timestamp, agency: &str, requests: u32) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/gateway", "type": "dev.maru.usage.v1", "time": time,
        "data": {"meter": "requests.count", "quantity": requests.to_string(), "unit": "request", "agency": agency},
    })
}

/// Hands events to the operator in the document system's name.
async fn report(parts: &Parts, events: &[Value]) -> Outcome<()> {
    let token = format!("Bearer {}", documents_token(parts).await?);
    let headers = [
        ("Authorization", token.as_str()),
        ("Content-Type", "application/cloudevents-batch+json"),
    ];
    let body = Value::from(events).to_string();
    let answer = eventually("the operator to take events", async || {
        let (_, address) = operators_pod(parts).await?;
        let url = format!("http://{address}:9465/v1/events");
        let (status, answer) = Web::new().post(&url, &headers, body.clone()).await?;
        if status.is_success() {
            return Ok(Some(answer));
        }
        Err(format!("{status} {answer}").into())
    })
    .await?;
    println!("   $ curl --json @events http://maru-operator:9465/v1/events\n     {answer}");
    Ok(())
}

/// Issues a month's bills, and works each out again from what it names.
async fn close(parts: &Parts, postgres: &Postgres, month: Date) -> Outcome<Closed> {
    let period = calendar::name(month);
    let run = parts.filled(
        "run.yaml",
        &format!("run-{period}.yaml"),
        &[("PERIOD", &period), ("CARD", "platform")],
    )?;
    let run = run.display().to_string();
    parts.kubectl(&["apply", "-f", &run]).await?;
    parts
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "billingrun", &period])
        .await?;
    let reason = eventually("the bills to be issued", async || {
        let run = parts.json(&["billingrun", &period]).await?;
        let conditions = run["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.into_iter().find(|one| one["type"] == "Ready");
        let reason = ready.and_then(|one| one["reason"].as_str()).unwrap_or_default();
        match reason {
            "Issued" => Ok(Some(reason.to_owned())),
            _ => Err(format!("{ready:?}").into()),
        }
    })
    .await?;
    println!("     {period}: {reason}");
    parts.kubectl(&["get", "bills", "-A"]).await?;
    let listed = parts.json(&["bills", "-A"]).await?;
    let all = listed["items"].as_array().cloned().unwrap_or_default();
    let bills: Vec<Value> = all
        .into_iter()
        .filter(|bill| bill["spec"]["period"] == period.as_str())
        .collect();
    verify(parts, postgres, &bills).await?;
    Ok(Closed { period, bills })
}

/// A pod of the shared system ends, and what it held is on the draft of this month's bill.
pub(crate) async fn drafted(parts: &Parts, months: &Months) -> Outcome<()> {
    parts.say("The document system goes back to one pod. What the other one held is recorded before it goes, and is on this month's draft.");
    parts.scale_documents(1).await?;
    eventually("the pod to be recorded and gone", async || {
        let pods = parts.json(&["pods", "-n", "mois"]).await?;
        Ok((pods["items"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })
    .await?;
    let period = calendar::name(months.current);
    let run = parts.filled(
        "run.yaml",
        &format!("run-{period}.yaml"),
        &[("PERIOD", &period), ("CARD", "platform")],
    )?;
    parts.kubectl(&["apply", "-f", &run.display().to_string()]).await?;
    let name = format!("invoice-{period}");
    let bill = eventually("the draft", async || {
        Ok(parts.json(&["bill", &name, "-n", "mois"]).await.ok())
    })
    .await?;
    println!("   $ kubectl get bill {name} -n mois -o yaml");
    for line in bill["spec"]["lines"].as_array().into_iter().flatten() {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        println!(
            "     {:<12} {:<16} {:>14} {:<10} {:>13} KRW",
            text("charge"),
            text("meter"),
            text("quantity"),
            text("unit"),
            text("amount")
        );
    }
    Ok(())
}

/// Works bills out again from the manifests, the usage and the books.
async fn verify(parts: &Parts, postgres: &Postgres, bills: &[Value]) -> Outcome<()> {
    let manifests = exported(parts).await?;
    let lake = lake(parts).await?;
    for bill in bills {
        let number = bill["spec"]["number"].as_str().ok_or("an issued bill has a number")?;
        let mut command = Command::new(parts.program("kubectl-maru"));
        command
            .args(["verify", number, "--ledger", &postgres.url("ledger"), "-f"])
            .arg(&manifests)
            .arg("--usage")
            .arg(&lake);
        println!("   $ kubectl maru verify {number} --ledger LEDGER -f EXPORTED --usage LAKE");
        let said = finish(&mut command).await?;
        print!("{}", indented(said.lines().last().unwrap_or_default()));
    }
    Ok(())
}

/// What the bills were made from, as files: what people wrote, without what the cluster added.
async fn exported(parts: &Parts) -> Outcome<PathBuf> {
    let kinds = "agencies,agencysystems,systemsubscriptions,costpools,ratecards";
    let listed = parts.json(&[kinds, "-A"]).await?;
    let mut text = String::new();
    for item in listed["items"].as_array().into_iter().flatten() {
        if item["kind"] == "RateCard" && item["metadata"]["name"] != "platform" {
            continue;
        }
        let mut metadata = json!({"name": item["metadata"]["name"]});
        if let Some(namespace) = item["metadata"]["namespace"].as_str() {
            metadata["namespace"] = json!(namespace);
        }
        let bare = json!({
            "apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": item["spec"],
        });
        text.extend(["---\n", &bare.to_string(), "\n"]);
    }
    let file = parts.folder.path().join("exported.yaml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// Where the usage is: the folder of the operator's volume on this machine.
pub(crate) async fn lake(parts: &Parts) -> Outcome<PathBuf> {
    let volumes = parts.json(&["persistentvolumes"]).await?;
    let ours = |volume: &&Value| volume["spec"]["claimRef"]["name"] == "maru-operator";
    let volume = volumes["items"].as_array().into_iter().flatten().find(ours);
    let path = volume.and_then(|volume| volume["spec"]["hostPath"]["path"].as_str());
    let path = path.ok_or("the operator has no volume")?;
    Ok(PathBuf::from(path).join("lake"))
}
