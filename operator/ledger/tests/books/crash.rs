//! A process that issues is killed, at every step and at moments in between: afterwards there are the same bills with the same numbers.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use maru_ledger::{Ledger, Step};
use maru_rate::Rated;
use maru_test_postgres::{Postgres, PostgresOptions};
use rustix::process::{Signal, getpid, kill_process};

use crate::place::{CARD, Place, both, inputs, issue, numbers, rated_with};

const ADDRESS: &str = "MARU_TEST_LEDGER";
const LAST_STEP: &str = "MARU_TEST_LAST_STEP";
/// Begun, 64, 128 and 151 pages written, complete, committed.
const STEPS: usize = 6;
const AGENCIES: usize = 150;

fn month() -> Rated {
    let uses: Vec<_> = (0..AGENCIES)
        .map(|agency| (format!("agency-{agency:03}"), agency.to_string()))
        .collect();
    rated_with(CARD, "2026-10", &uses)
}

/// Ends this process, as a power cut would, when so many steps are done.
fn die_at_last_step(_: Step) {
    static STEPS_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
    let last = || {
        std::env::var(LAST_STEP)
            .ok()
            .and_then(|step| step.parse().ok())
            .unwrap_or(usize::MAX)
    };
    let _ = STEPS_LEFT.compare_exchange(usize::MAX, last(), Ordering::Relaxed, Ordering::Relaxed);
    if STEPS_LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}

#[test]
#[ignore = "the process that the other tests here start and kill"]
fn issuer() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let mut ledger = Ledger::at(&address).unwrap().watched(die_at_last_step);
    ledger.issue(&month(), &issue(&inputs())).unwrap();
}

fn start(place: &Place, last_step: usize) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::issuer", "--ignored"])
        .envs([(ADDRESS, place.address.as_str()), (LAST_STEP, &last_step.to_string())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn holds(place: &Place, when: &str) {
    ledger_holds(&mut place.open(), &format!("{} {when}", place.name));
}

fn ledger_holds(ledger: &mut Ledger, when: &str) {
    let before = ledger.verify().unwrap();
    assert_eq!(before.disagreements, [], "{when}");
    assert!(
        [0, AGENCIES as u64].contains(&before.bills),
        "{when}: all or nothing, not {}",
        before.bills
    );
    let pages = ledger.issue(&month(), &issue(&inputs())).unwrap();
    let expected: Vec<_> = (0..AGENCIES)
        .map(|agency| (format!("agency-{agency:03}"), format!("2026-{:06}", agency + 1)))
        .collect();
    assert_eq!(numbers(&pages), expected, "{when}");
    let after = ledger.verify().unwrap();
    assert_eq!(
        (after.bills, after.disagreements),
        (AGENCIES as u64, Vec::new()),
        "{when}"
    );
}

#[test]
fn an_issuer_that_is_killed_after_any_step_leaves_all_bills_or_none() {
    for step in 1..=STEPS {
        for place in both() {
            drop(place.open());
            let status = start(&place, step).wait().unwrap();
            assert!(
                !status.success(),
                "{}: step {step} of {STEPS} was not reached",
                place.name
            );
            holds(&place, &format!("killed after step {step}"));
        }
    }
}

#[test]
fn an_issuer_that_is_killed_at_any_moment_leaves_all_bills_or_none() {
    for place in both() {
        drop(place.open());
        let began = Instant::now();
        assert!(start(&place, usize::MAX).wait().unwrap().success());
        let whole = began.elapsed();
        for eighth in 1..8 {
            let place = if place.name == "SQLite" {
                Place::sqlite()
            } else {
                Place::postgres()
            };
            drop(place.open());
            let mut child = start(&place, usize::MAX);
            let moment = whole * eighth / 8;
            std::thread::sleep(moment.max(Duration::from_millis(1))); // the moment itself is what is tried
            child.kill().unwrap();
            child.wait().unwrap();
            holds(&place, &format!("killed after {moment:?}"));
        }
    }
}

static SERVER: Mutex<Option<Postgres>> = Mutex::new(None);
static UNTIL_CRASH: AtomicUsize = AtomicUsize::new(0);

fn crash_the_server(_: Step) {
    if UNTIL_CRASH.fetch_sub(1, Ordering::Relaxed) == 1 {
        SERVER.lock().unwrap().as_mut().unwrap().crash().unwrap();
    }
}

#[test]
fn a_server_that_loses_power_after_any_step_has_all_bills_or_none() {
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    let addresses: Vec<String> = (1..=STEPS)
        .map(|step| server.create_database(&format!("ledger{step}")).unwrap())
        .collect();
    *SERVER.lock().unwrap() = Some(server);
    for (step, address) in (1..).zip(&addresses) {
        UNTIL_CRASH.store(step, Ordering::Relaxed);
        let mut ledger = Ledger::at(address).unwrap().watched(crash_the_server);
        let issued = ledger.issue(&month(), &issue(&inputs()));
        assert_eq!(
            issued.is_ok(),
            step == STEPS,
            "a commit that returned is there: {issued:?}"
        );
        SERVER.lock().unwrap().as_mut().unwrap().restart().unwrap();
        ledger_holds(&mut ledger, &format!("no power after step {step}")); // the same ledger: it connects anew
    }
    SERVER.lock().unwrap().take();
}
