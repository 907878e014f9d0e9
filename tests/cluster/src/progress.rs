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
        /// Whether it may take minutes, as a build does, rather than seconds.
        long: bool,
    },
    /// The step ended well.
    Ended {
        /// The same words as in `Began`.
        step: String,
        /// Whether it might have taken minutes.
        long: bool,
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
        Self::screen(Screen::default())
    }

    /// The same for tests: only what takes minutes, and what must be known. It is seen also where the test harness
    /// keeps a test's own output back.
    pub fn tests() -> Self {
        Self::screen(Screen {
            only_long: true,
            ..Screen::default()
        })
    }

    fn screen(screen: Screen) -> Self {
        let screen = Mutex::new(screen);
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
        self.timed(step, false, work).await
    }

    /// The same for work that may take minutes.
    pub(crate) async fn long_step<T, E>(&self, step: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.timed(step, true, work).await
    }

    async fn timed<T, E>(&self, step: &str, long: bool, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begin = std::time::Instant::now();
        let step = step.to_owned();
        self.report(&Event::Began {
            step: step.clone(),
            long,
        });
        let done = work.await?;
        let millis = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report(&Event::Ended { step, long, millis });
        Ok(done)
    }
}

/// The lines on standard error. Steps may overlap; the spinner names the one that began last.
#[derive(Default)]
struct Screen {
    only_long: bool,
    running: Vec<String>,
    spinner: Option<ProgressBar>,
}

impl Screen {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Began { long: false, .. } | Event::Ended { long: false, .. } if self.only_long => {}
            Event::Began { step, long: _ } => {
                self.running.push(step.clone());
                if !std::io::stderr().is_terminal() {
                    self.line(&format!("{step} …"));
                }
                self.spin();
            }
            Event::Ended { step, long: _, millis } => {
                self.running.retain(|running| running != step);
                self.line(&format!("{step}: {}.{} s", millis / 1000, millis % 1000 / 100));
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
        // Not `eprintln`: a test harness keeps that back.
        let write = || {
            let _ = writeln!(std::io::stderr(), "{text}");
        };
        match &self.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
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
