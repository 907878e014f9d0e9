//! The short story, where this machine cannot have a node that runs real containers: simulated pods, the operator as a process, a bill.

use crate::parts::{Outcome, Parts, finish, indented};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

pub(crate) async fn play(parts: &Parts, seconds: u64) -> Outcome<()> {
    println!("   There is no node that runs real containers here: pods are simulated, and the operator is a process.");
    let story = parts.repository.join("tests/demo/story");
    let file = |name: &str| story.join(name).display().to_string();
    parts.say("The platform's people install Maru's kinds and a price book.");
    let kinds = parts.repository.join("crds/manifests").display().to_string();
    parts.kubectl(&["apply", "--server-side", "-f", &kinds]).await?;
    parts
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])
        .await?;
    parts.kubectl(&["apply", "-f", &file("simulated-prices.yaml")]).await?;

    parts.say("The operator starts. It keeps usage in a lake: a directory here.");
    let lake = parts.folder.path().join("lake");
    let mut operator = operator(parts, &lake)?;
    parts.kubectl(&["apply", "-f", &file("simulated-agency.yaml")]).await?;
    parts.ready(&["agency/mois"]).await?;

    parts.say("The Ministry of the Interior describes its document system; its pods start.");
    parts.kubectl(&["apply", "-f", &file("simulated-system.yaml")]).await?;
    parts.ready(&["-n", "mois", "agencysystem/docs"]).await?;
    parts.kubectl(&["get", "maru", "-A"]).await?;

    parts.say(&format!("The system runs for {seconds} s and is metered."));
    tokio::time::sleep(Duration::from_secs(seconds)).await;

    parts.say("The ministry ends it. Its pods go once their last second is in the lake.");
    parts.kubectl(&["delete", "-n", "mois", "agencysystem/docs"]).await?;
    parts
        .kubectl(&["wait", "--for=delete", "--timeout=60s", "-n", "mois", "pods", "--all"])
        .await?;
    stop(&mut operator).await?;

    parts.say("The bill, from the recorded usage and the price book.");
    let month = jiff::Timestamp::now()
        .in_tz(crate::calendar::ZONE)?
        .strftime("%Y-%m")
        .to_string();
    let mut rate = Command::new(parts.program("kubectl-maru"));
    rate.arg("rate");
    for name in [
        "simulated-agency.yaml",
        "simulated-system.yaml",
        "simulated-prices.yaml",
    ] {
        rate.args(["-f", &file(name)]);
    }
    println!("   $ kubectl maru rate -f tests/demo/story --usage LAKE --period {month}");
    print!(
        "{}",
        indented(&finish(rate.arg("--usage").arg(&lake).args(["--period", &month])).await?)
    );
    Ok(())
}

fn operator(parts: &Parts, lake: &Path) -> Outcome<Child> {
    let child = Command::new(parts.program("maru-operator"))
        .env("KUBECONFIG", parts.cluster.kubeconfig())
        .args(["--listen", "127.0.0.1:0", "--lake"])
        .arg(lake)
        .env("RUST_LOG", "warn,buoyant_kernel=off")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Ends the operator in an orderly way.
async fn stop(operator: &mut Child) -> Outcome<()> {
    if let Some(id) = operator.id() {
        finish(Command::new("kill").arg(id.to_string())).await?;
    }
    let status = operator.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the operator ended with {status}").into())
    }
}
