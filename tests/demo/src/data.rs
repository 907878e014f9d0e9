//! The ministries, their systems and their data.

use crate::calendar::Months;
use crate::install::{ADMIN_PASSWORD, events_address};
use crate::parts::{OPERATORS_NAMESPACE, Outcome, Parts, eventually, indented};
use crate::web::Web;
use http::StatusCode;
use maru_test_postgres::Postgres;
use serde_json::{Value, json};

/// For whom a token must be made that says who sends events.
const AUDIENCE: &str = "maru.dev/usage";

/// Four ministries, four systems, two datasets and two grants.
pub(crate) async fn ministries(parts: &Parts, postgres: &Postgres, months: &Months) -> Outcome<()> {
    let (start, begin, end) = (months.start(), months.current.to_string(), months.end()?);
    let start = ("START", start.as_str());
    parts.say("Four ministries join, and the platform names its prices.");
    parts.apply("agencies.yaml", &[]).await?;
    parts.apply("prices.yaml", &[start]).await?;
    parts.ready(&["agency", "--all"]).await?;

    parts.say("The Ministry of the Interior runs a document system that was built for 4.8 billion won. Three ministries subscribe to it.");
    let events = events_address(parts).await?;
    parts.apply("docs.yaml", &[start, ("EVENTS", &events)]).await?;
    usage_token(parts).await?;
    parts.apply("subscriptions.yaml", &[start]).await?;

    parts.say("Each of the three has a system of its own, with real data in PostgreSQL. WorkNet and Bokjiro accept a grant each.");
    let (host, port) = (postgres.host().to_string(), postgres.port().to_string());
    let server = [("POSTGRES_HOST", host.as_str()), ("POSTGRES_PORT", port.as_str())];
    parts.apply("ministries.yaml", &[]).await?;
    parts.apply("data.yaml", &server).await?;
    parts.ready(&["dataset", "-A", "--all"]).await?;
    fill(postgres)?;
    parts.apply("grants.yaml", &[("BEGIN", &begin), ("END", &end)]).await?;
    parts.ready(&["datagrant", "-A", "--all"]).await?;
    parts.ready(&["agencysystem", "-A", "--all"]).await?;
    parts.ready(&["systemsubscription", "-A", "--all"]).await?;
    parts.kubectl(&["get", "maru", "-A"]).await?;
    parts.kubectl(&["get", "pods", "-A", "-l", "maru.dev/system"]).await
}

/// A Secret with a token of the document system's own account, with which it says that it is the one that sends.
async fn usage_token(parts: &Parts) -> Outcome<()> {
    let token = documents_token(parts).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "usage-token", "namespace": "mois"},
        "stringData": {"token": token},
    });
    let file = parts.folder.path().join("usage-token.yaml");
    std::fs::write(&file, secret.to_string())?;
    println!("   $ kubectl create token docs -n mois --audience {AUDIENCE}   # into the Secret usage-token");
    parts
        .asked(&["apply", "-f", &file.display().to_string()])
        .await
        .map(drop)
}

/// A token of the document system's account, as soon as there is one.
pub(crate) async fn documents_token(parts: &Parts) -> Outcome<String> {
    let audience = format!("--audience={AUDIENCE}");
    let create = ["create", "token", "docs", "-n", "mois", &audience, "--duration=8h"];
    eventually("the account of the document system", async || {
        Ok(parts.asked(&create).await.map(|token| token.trim().to_owned()).ok())
    })
    .await
}

/// What the ministries know: 20,000 people's income, and 3,000 who lost their work.
fn fill(postgres: &Postgres) -> Outcome<()> {
    postgres.sql(
        "nts_income",
        "INSERT INTO income SELECT n, CASE WHEN n % 8 = 0 THEN 'JobSeeker' ELSE 'Employee' END, 1 + n % 6, 10000000 + n * 1000 \
         FROM generate_series(1, 20000) AS n",
    )?;
    postgres.sql(
        "moel_unemployment",
        "INSERT INTO spell SELECT n * 8, DATE '2026-01-01' + (n % 200)::int, CASE WHEN n % 5 = 0 THEN 'Dismissal' ELSE 'Closure' END \
         FROM generate_series(1, 3000) AS n",
    )?;
    Ok(())
}

/// The address of a ready pod of a system.
pub(crate) async fn pod_of(parts: &Parts, namespace: &str, system: &str) -> Outcome<String> {
    pods_of(parts, namespace, system)
        .await?
        .pop()
        .ok_or_else(|| format!("{system} has no pod").into())
}

/// The addresses of all ready pods of a system.
pub(crate) async fn pods_of(parts: &Parts, namespace: &str, system: &str) -> Outcome<Vec<String>> {
    let label = format!("maru.dev/system={system}");
    let pods = parts.json(&["pods", "-n", namespace, "-l", &label]).await?;
    let ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
            && pod["metadata"]["deletionTimestamp"].is_null()
    };
    let address = |pod: &Value| pod["status"]["podIP"].as_str().map(str::to_owned);
    let items = pods["items"].as_array().into_iter().flatten();
    Ok(items.filter(ready).filter_map(address).collect())
}

async fn ask(parts: &Parts, namespace: &str, system: &str, question: &str) -> Outcome<(StatusCode, Value)> {
    let pod = pod_of(parts, namespace, system).await?;
    let (status, answer) = Web::new().get(&format!("http://{pod}:8080/ask/{question}")).await?;
    println!(
        "   $ curl http://{system}/ask/{question}      {}\n     {answer}",
        status.as_u16()
    );
    Ok((status, answer))
}

/// The systems ask each other's data, and get what was granted and nothing else.
pub(crate) async fn asked(parts: &Parts) -> Outcome<()> {
    parts.say("Three services, and no copy of the data: each asks the database, with rights that end on a date.");
    expect(ask(parts, "nts", "hometax", "people").await?, StatusCode::OK)?;
    println!("     WorkNet reads the income bracket of job seekers from the tax data:");
    expect(ask(parts, "moel", "worknet", "brackets").await?, StatusCode::OK)?;
    println!("     ... and nothing else of it:");
    expect(ask(parts, "moel", "worknet", "table").await?, StatusCode::FORBIDDEN)?;
    println!("     Bokjiro reads who became unemployed:");
    expect(ask(parts, "mohw", "bokjiro", "unemployed").await?, StatusCode::OK)
}

/// A grant is taken back, and its query is refused.
pub(crate) async fn revoked(parts: &Parts) -> Outcome<()> {
    parts.say("The tax service takes its grant back. The same question is refused.");
    let revoke = [
        "patch",
        "datagrant",
        "worknet-brackets",
        "-n",
        "nts",
        "--type=merge",
        "-p",
        r#"{"spec":{"revoked":true}}"#,
    ];
    parts.kubectl(&revoke).await?;
    eventually("the refusal", async || {
        let pod = pod_of(parts, "moel", "worknet").await?;
        let (status, _) = Web::new().get(&format!("http://{pod}:8080/ask/brackets")).await?;
        Ok((status == StatusCode::FORBIDDEN).then_some(()))
    })
    .await?;
    expect(ask(parts, "moel", "worknet", "brackets").await?, StatusCode::FORBIDDEN)?;
    parts.kubectl(&["get", "datagrant", "-A"]).await
}

/// The tax data was backed up meanwhile, and the backup restored to see that it can be; people restore it into a database of their own.
pub(crate) async fn restored(parts: &Parts, postgres: &Postgres) -> Outcome<()> {
    parts.say("The tax data was backed up on its schedule, encrypted, and restored by the operator to see that it can be. Anybody with the key can do the same.");
    let people = "20000";
    let inside = [
        "exec",
        "-n",
        OPERATORS_NAMESPACE,
        "deployment/maru-operator",
        "--",
        "kubectl-maru",
        "dataset",
    ];
    eventually("a backup of all people's income", async || {
        let listed = parts
            .asked(&[&inside[..], &["backups", "nts/income", "-o", "json"]].concat())
            .await?;
        let verified =
            parts.json(&["dataset", "income", "-n", "nts"]).await?["status"]["lastVerifiedRestore"].is_object();
        let newest = serde_json::from_str::<Value>(&listed)?
            .as_array()
            .and_then(|all| all.last().cloned());
        let rows = newest.map(|newest| newest["tables"][0]["rows"].to_string());
        Ok((verified && rows.as_deref() == Some(people)).then_some(()))
    })
    .await?;
    parts
        .kubectl(&[&inside[..], &["backups", "nts/income"]].concat())
        .await?;
    postgres.sql("postgres", "CREATE DATABASE restored OWNER maru_admin")?;
    let into = |password: &str| {
        let (host, port) = (postgres.host(), postgres.port());
        format!("postgresql://maru_admin:{password}@{host}:{port}/restored?sslmode=disable")
    };
    let restore = ["restore", "nts/income", "--into"];
    println!("   $ kubectl {} {} {}", inside.join(" "), restore.join(" "), into("…"));
    let into = into(ADMIN_PASSWORD);
    let said = parts.asked(&[&inside[..], &restore, &[into.as_str()]].concat()).await?;
    print!("{}", indented(&said));
    let counted = postgres.sql("restored", "SELECT count(*) FROM income")?;
    if counted == people {
        return Ok(());
    }
    Err(format!("{people} people's income was backed up, and {counted} are restored").into())
}

fn expect((status, answer): (StatusCode, Value), expected: StatusCode) -> Outcome<()> {
    if status == expected {
        return Ok(());
    }
    Err(format!("{expected} was expected, and it is {status}: {answer}").into())
}
