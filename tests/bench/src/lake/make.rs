//! A month of use: systems of agencies, whose pods are metered by six meters every hour.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use maru_lake::Lake;
use maru_meter::{Completeness, Exact, Interval, Rounding, UsageRecord};

use super::Found;

/// A month in Seoul, in hours.
const HOURS: u64 = 720;
/// Of 19 systems, 3 have a second pod.
const PODS: (u64, u64) = (22, 19);
/// Systems and agencies at full size.
const SYSTEMS: u64 = 20_000;
const AGENCIES: u64 = 1_800;
/// Hours that are written at once.
const AT_ONCE: u64 = 6;

pub(super) const METERS: [(&str, &str); 6] = [
    ("cpu.reserved", "core-hour"),
    ("cpu.used", "core-hour"),
    ("memory.reserved", "GiB-hour"),
    ("memory.used", "GiB-hour"),
    ("requests.count", "request"),
    ("storage.provisioned", "GiB-hour"),
];

/// The month that is billed.
pub(super) fn period() -> Result<Interval, Box<dyn Error>> {
    let start: Timestamp = "2026-10-31T15:00:00Z".parse()?;
    let end = start + SignedDuration::from_hours(i64::try_from(HOURS)?);
    Ok(Interval { start, end })
}

/// Makes a lake of about so many records, hour by hour as metering does, and compacts it.
pub(super) fn lake(folder: &Path, records: u64) -> Result<Found, Box<dyn Error>> {
    let began = Instant::now();
    let systems = (records * PODS.1 / (PODS.0 * HOURS * METERS.len() as u64)).max(1);
    let start = period()?.start;
    let next = std::sync::atomic::AtomicU64::new(0);
    let work = || -> Result<u64, String> {
        let lake = Lake::open(folder).map_err(|error| error.to_string())?;
        let mut count = 0;
        loop {
            let hour = next.fetch_add(AT_ONCE, std::sync::atomic::Ordering::Relaxed);
            if hour >= HOURS {
                return Ok(count);
            }
            let batch = batch(systems, start, hour);
            let appended = lake.append(&batch).map_err(|error| error.to_string())?;
            count += appended.added as u64;
        }
    };
    let counts = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut count = 0;
    for part in counts {
        count += part?;
    }
    Lake::open(folder)?.compact("2027-01-01T00:00:00Z".parse()?)?;
    Lake::open(folder)?.vacuum(&[], SignedDuration::ZERO)?;
    Ok(Found {
        seconds: began.elapsed().as_secs_f64(),
        count,
        ..Found::default()
    })
}

fn batch(systems: u64, start: Timestamp, first: u64) -> Vec<UsageRecord> {
    let agencies = (systems * AGENCIES / SYSTEMS).max(1);
    let mut records = Vec::new();
    for system in 0..systems {
        let agency = format!("agency-{:04}", system % agencies);
        let pods = 1 + u64::from(system * 7 % PODS.1 < PODS.0 - PODS.1);
        for pod in 0..pods {
            let seed = mixed(system * 2 + pod);
            let uid = uid(seed);
            let name = format!("{agency}/system-{system:05}");
            let resource = format!("pod/{name}-{pod}-{:05x}", seed % 0xf_ffff);
            for (place, (meter, unit)) in METERS.iter().enumerate() {
                for hour in first..(first + AT_ONCE).min(HOURS) {
                    let start = start + SignedDuration::from_hours(i64::try_from(hour).unwrap_or(0));
                    let (seconds, quantity, completeness) = used(place, seed, hour);
                    records.push(UsageRecord {
                        id: UsageRecord::id_of("pods", &uid, meter, start),
                        agency: agency.clone(),
                        system: name.clone(),
                        resource: resource.clone(),
                        meter: (*meter).to_owned(),
                        quantity,
                        unit: (*unit).to_owned(),
                        start,
                        end: start + SignedDuration::from_secs(seconds),
                        source: "pods".to_owned(),
                        completeness,
                        recorded_at: None,
                    });
                }
            }
        }
    }
    records
}

/// How long in an hour, how much, and how well known: reservations stay the same, use differs from hour to hour, and now and then a pod
/// begins or ends within an hour.
fn used(meter: usize, seed: u64, hour: u64) -> (i64, Exact, Completeness) {
    let chance = mixed(seed ^ (hour << 8) ^ meter as u64);
    let reserved = |steps: [u32; 4], places: u32| Exact::scaled(steps[usize::try_from(seed % 4).unwrap_or(0)], places);
    let amount = match meter {
        0 => reserved([250, 500, 1000, 4000], 3),
        1 => Exact::scaled(chance % 1_000_000, 6),
        2 => reserved([500, 1000, 2000, 8000], 3),
        3 => Exact::scaled(chance % 4_000_000, 6),
        4 => Exact::from(chance % 20_000),
        _ => reserved([10, 20, 50, 100], 0),
    };
    let moment = mixed(seed ^ hour);
    let seconds = if moment.is_multiple_of(97) {
        1 + i64::try_from(moment / 97 % 3599).unwrap_or(0)
    } else {
        3600
    };
    let quantity = if seconds == 3600 || meter == 4 {
        amount
    } else {
        let part = Exact::ratio(seconds, 3600).unwrap_or(Exact::ONE);
        (&amount * &part).round(maru_meter::METERED_PLACES, Rounding::HalfEven)
    };
    let estimated = meter % 2 == 1 && chance.is_multiple_of(211);
    let completeness = if estimated {
        Completeness::Estimated
    } else {
        Completeness::Complete
    };
    (seconds, quantity, completeness)
}

/// A number that looks random.
pub(super) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// An identity as the API server gives them.
pub(super) fn uid(seed: u64) -> String {
    let (one, other) = (mixed(seed), mixed(!seed));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        one >> 32,
        (one >> 16) & 0xffff,
        one & 0xfff,
        other >> 52,
        other & 0xffff_ffff_ffff
    )
}
