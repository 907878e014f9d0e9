//! `maru-service`: an information system of a ministry, as small as one can be. It takes documents, answers questions with queries that it
//! runs in PostgreSQL, in a database of its own or in another ministry's by a grant, and reports who used it as CloudEvents.

mod ask;
mod report;
mod serve;

use clap::Parser;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// An information system. It holds a token, so it is nothing to print.
#[derive(Parser)]
#[command(name = "maru-service", version)]
struct Arguments {
    /// Where it answers.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where use is reported, such as <http://maru-operator.maru-system:9465/v1/events>; none given: it is not.
    #[arg(long, env = "EVENTS_URL")]
    events_url: Option<String>,
    /// The token of the system's service account for that.
    #[arg(long, env = "EVENTS_TOKEN", hide_env_values = true, default_value = "")]
    events_token: String,
    /// The name of this pod.
    #[arg(long, env = "HOSTNAME", default_value = "service")]
    hostname: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    // A pod's name comes again when its container is started again, the moment does not.
    let source = format!("/{}/{}", arguments.hostname, jiff::Timestamp::now().as_nanosecond());
    let reports = Arc::new(report::Reports::new(source));
    let questions = ask::Questions::from_environment(std::env::vars())?;
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    let sending = arguments
        .events_url
        .map(|url| report::Sending::new(&url, &arguments.events_token))
        .transpose()?;
    let app = serve::app(questions, Arc::clone(&reports));
    let sender = sending.map(|sending| tokio::spawn(sending.run(Arc::clone(&reports))));
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;
    // What was counted is reported before it ends.
    reports.close();
    if let Some(sender) = sender {
        sender.await?;
    }
    Ok(())
}
