//! What happens while a cluster is built and started, and how it is shown.
//!
//! The process that holds a cluster writes one event a line to its standard output; whoever started it reads them,
//! shows them and waits for the last one.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

/// Something that happened on the way to a running cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// A step began, such as building a program or waiting for the API server.
    Began {
        /// What it does, to be read by people.
        step: String,
    },
    /// The step ended well.
    Ended {
        /// The same words as in `Began`.
        step: String,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// One line that people should see, for example why there is no real node.
    Note {
        /// The line.
        text: String,
    },
    /// The cluster answers; nothing follows.
    Ready {
        /// The administrator's kubeconfig.
        kubeconfig: PathBuf,
    },
    /// The cluster will not come up; nothing follows.
    Failed {
        /// Why.
        text: String,
    },
}

/// Takes events, wherever they go.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(&Event) + Send + Sync>);

impl Reporter {
    /// Hands every event to `take`.
    pub fn new(take: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Writes events as JSON lines to standard output. A reader that has gone away is no error.
    pub(crate) fn json_lines() -> Self {
        Self::new(|event| {
            if let Ok(line) = serde_json::to_string(event) {
                let mut out = std::io::stdout().lock();
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
        })
    }

    /// Shows events to people on standard error: a spinner on a terminal, plain lines elsewhere.
    pub fn people() -> Self {
        let screen = Mutex::new(Screen::default());
        Self::new(move |event| {
            screen.lock().unwrap_or_else(PoisonError::into_inner).show(event);
        })
    }

    /// Reports one event.
    pub fn report(&self, event: &Event) {
        (self.0)(event);
    }

    /// Reports one line for people.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.report(&Event::Note { text: text.into() });
    }

    /// Reports the beginning and the end of `work`; a failure is reported by whoever gets it.
    pub(crate) async fn step<T, E>(&self, step: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begin = std::time::Instant::now();
        self.report(&Event::Began { step: step.to_owned() });
        let done = work.await?;
        self.report(&Event::Ended {
            step: step.to_owned(),
            millis: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        Ok(done)
    }
}

/// The lines on standard error. Steps may overlap; the spinner names the one that began last.
#[derive(Default)]
struct Screen {
    running: Vec<String>,
    spinner: Option<ProgressBar>,
}

impl Screen {
    fn show(&mut self, event: &Event) {
        let terminal = std::io::stderr().is_terminal();
        match event {
            Event::Began { step } => {
                self.running.push(step.clone());
                if terminal {
                    self.spin();
                } else {
                    eprintln!("{step} …");
                }
            }
            Event::Ended { step, millis } => {
                self.running.retain(|running| running != step);
                let took = format!("{step}: {}.{} s", millis / 1000, millis % 1000 / 100);
                self.line(&took);
                self.spin();
            }
            Event::Note { text } => self.line(text),
            Event::Ready { .. } | Event::Failed { .. } => {
                self.running.clear();
                self.spin();
            }
        }
    }

    fn line(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn spin(&mut self) {
        match (self.running.last(), &self.spinner) {
            (Some(step), Some(spinner)) => spinner.set_message(step.clone()),
            (Some(step), None) if std::io::stderr().is_terminal() => {
                let spinner = ProgressBar::new_spinner().with_message(step.clone());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                    spinner.set_style(style);
                }
                spinner.enable_steady_tick(Duration::from_millis(120));
                self.spinner = Some(spinner);
            }
            (Some(_), None) => {}
            (None, _) => {
                if let Some(spinner) = self.spinner.take() {
                    spinner.finish_and_clear();
                }
            }
        }
    }
}
