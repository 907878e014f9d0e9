//! Months that pass at a story's word: billing by itself, with a clock that the story sets.

use jiff::Timestamp;
use kube::{Client, Config};
use maru_controller::Metrics;
use maru_controller::billing::{self, BillingSettings};
use maru_lake::Lake;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

static NOW: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    Timestamp::from_second(NOW.load(Ordering::SeqCst)).unwrap()
}

/// Sets the clock that bills go by, in this process.
pub fn it_is(time: &str) {
    NOW.store(time.parse::<Timestamp>().unwrap().as_second(), Ordering::SeqCst);
}

/// Billing by itself, by a clock that the story sets; dropping it ends it as SIGKILL does.
pub struct Billing(Option<Runtime>);

impl Billing {
    /// Starts it, with the lake in a folder and a ledger.
    pub fn start(config: &Config, lake: &Path, ledger: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let client = {
            let _inside = runtime.enter();
            Client::try_from(config.clone()).unwrap()
        };
        let lake = std::thread::scope(|scope| scope.spawn(|| Arc::new(Lake::open(lake).unwrap())).join().unwrap());
        let settings = BillingSettings {
            look_every: Duration::from_millis(100),
            clock,
            leads: |_| true,
            ..BillingSettings::into_ledger(ledger.to_owned())
        };
        let (metrics, shutdown) = (Arc::new(Metrics::default()), CancellationToken::new());
        runtime.spawn(billing::run(client, lake, settings, metrics, shutdown));
        Self(Some(runtime))
    }
}

impl Drop for Billing {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl fmt::Debug for Billing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Billing").finish()
    }
}
