use super::*;
use proptest::prelude::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn payer(agency: &str, system: &str) -> Payer {
    Payer {
        agency: agency.to_owned(),
        system: format!("{agency}/{system}"),
    }
}

fn counts(queries: u64, rows: u64) -> Counts {
    Counts { queries, rows }
}

fn counters(since: &str, evictions: i64) -> Counters {
    Counters {
        since: since.to_owned(),
        evictions,
    }
}

/// What `mois/docs` read of `resource`, by login.
fn read(resource: &str, logins: &[(&str, u64, u64)]) -> (String, ReadBy) {
    let logins = logins
        .iter()
        .map(|(login, queries, rows)| ((*login).to_owned(), counts(*queries, *rows)));
    let reads = ReadBy {
        resource: resource.to_owned(),
        payer: payer("mois", "docs"),
        billed: true,
        logins: logins.collect(),
    };
    (format!("{resource} mois/docs"), reads)
}

fn tally(counters: Counters, logins: &[&str], reads: impl IntoIterator<Item = (String, ReadBy)>) -> Tally {
    Tally {
        counters,
        logins: logins.iter().map(|login| (*login).to_owned()).collect(),
        reads: reads.into_iter().collect(),
    }
}

fn following(before: Option<&Reading>, moment: &str, tally: Option<Tally>) -> Reading {
    Reading::following(before, at(moment), payer("nts", "registry"), 0, tally)
}

fn reading(moment: &str, gib: u64, logins: &[(&str, u64, u64)]) -> Reading {
    let names: Vec<&str> = logins.iter().map(|(login, ..)| *login).collect();
    let tally = tally(counters("then", 0), &names, [read("grant/nts/letters", logins)]);
    Reading::following(None, at(moment), payer("nts", "registry"), gib * GIB.get(), Some(tally))
}

fn told(before: &Reading, now: &Reading) -> Vec<String> {
    records("d1", "nts/tax", before, now, HOUR)
        .iter()
        .map(|record| {
            record.check().unwrap();
            format!(
                "{} {} {} {} {}..{} {}",
                record.system,
                record.resource,
                record.meter,
                record.quantity,
                record.start.strftime("%H:%M"),
                record.end.strftime("%H:%M"),
                record.completeness.name()
            )
        })
        .collect()
}

#[test]
fn an_hour_is_billed_with_what_was_stored_at_its_beginning_and_what_was_read_in_it() {
    let before = reading("2026-10-01T09:00:00Z", 3, &[("a", 10, 100)]);
    let now = reading("2026-10-01T10:00:00Z", 5, &[("a", 12, 150), ("b", 1, 7)]);
    assert_eq!(
        told(&before, &now),
        [
            "nts/registry dataset/nts/tax dataset.stored 3 09:00..10:00 Complete",
            "mois/docs grant/nts/letters dataset.queries 3 09:00..10:00 Complete",
            "mois/docs grant/nts/letters dataset.rows 57 09:00..10:00 Complete",
        ]
    );
    assert_eq!(told(&now, &before), Vec::<String>::new());
    assert_eq!(told(&now, &now), Vec::<String>::new());
}

#[test]
fn after_a_hole_what_was_read_is_spread_and_says_so() {
    let before = reading("2026-10-01T09:30:00Z", 2, &[("a", 0, 0)]);
    let now = reading("2026-10-01T12:00:00Z", 2, &[("a", 4, 0)]);
    assert_eq!(
        told(&before, &now),
        [
            "nts/registry dataset/nts/tax dataset.stored 1 09:30..10:00 Estimated",
            "nts/registry dataset/nts/tax dataset.stored 2 10:00..11:00 Estimated",
            "nts/registry dataset/nts/tax dataset.stored 2 11:00..12:00 Estimated",
            "mois/docs grant/nts/letters dataset.queries 2 10:00..11:00 Estimated",
            "mois/docs grant/nts/letters dataset.queries 2 11:00..12:00 Estimated",
        ]
    );
}

/// Only what is read, without the hour.
fn told_reads(before: &Reading, now: &Reading) -> Vec<String> {
    let told = told(before, now)
        .into_iter()
        .filter(|line| !line.contains("dataset.stored"));
    told.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        format!("{} {} {} {}", words[1], words[2], words[3], words[5])
    })
    .collect()
}

#[test]
fn counters_that_began_anew_count_from_nothing_and_say_that_it_is_an_estimate() {
    let before = reading("2026-10-01T09:00:00Z", 0, &[("a", 10, 100)]);
    let anew = |queries, rows| {
        let reads = [read("grant/nts/letters", &[("a", queries, rows)])];
        following(
            Some(&before),
            "2026-10-01T10:00:00Z",
            Some(tally(counters("later", 0), &["a"], reads)),
        )
    };
    for (queries, rows) in [(2, 30), (12, 130)] {
        let expected = [
            format!("grant/nts/letters dataset.queries {queries} Estimated"),
            format!("grant/nts/letters dataset.rows {rows} Estimated"),
        ];
        assert_eq!(
            told_reads(&before, &anew(queries, rows)),
            expected,
            "also where it is more than before"
        );
    }
    let silent = following(
        Some(&before),
        "2026-10-01T10:00:00Z",
        Some(tally(counters("later", 0), &["a"], [])),
    );
    let reads = [read("grant/nts/letters", &[("a", 11, 101)])];
    let next = following(
        Some(&silent),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("later", 0), &["a"], reads)),
    );
    assert_eq!(
        told_reads(&silent, &next),
        [
            "grant/nts/letters dataset.queries 11 Complete",
            "grant/nts/letters dataset.rows 101 Complete"
        ],
        "and what was before them is forgotten"
    );
}

#[test]
fn what_the_server_gave_up_is_not_billed_a_second_time() {
    let before = reading("2026-10-01T09:00:00Z", 0, &[("a", 10, 100)]);
    let reads = [read("grant/nts/letters", &[("a", 6, 60)])];
    let now = following(
        Some(&before),
        "2026-10-01T10:00:00Z",
        Some(tally(counters("then", 1), &["a"], reads)),
    );
    assert_eq!(told_reads(&before, &now), Vec::<String>::new());
    let reads = [read("grant/nts/letters", &[("a", 8, 65)])];
    let next = following(
        Some(&now),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("then", 1), &["a"], reads)),
    );
    assert_eq!(
        told_reads(&now, &next),
        [
            "grant/nts/letters dataset.queries 2 Complete",
            "grant/nts/letters dataset.rows 5 Complete"
        ]
    );
    // Without that, a count that fell was set back by somebody, and what it says was read since.
    let reads = [read("grant/nts/letters", &[("a", 6, 60)])];
    let set_back = following(
        Some(&before),
        "2026-10-01T10:00:00Z",
        Some(tally(counters("then", 0), &["a"], reads)),
    );
    assert_eq!(
        told_reads(&before, &set_back),
        [
            "grant/nts/letters dataset.queries 6 Estimated",
            "grant/nts/letters dataset.rows 60 Estimated"
        ]
    );
}

#[test]
fn a_grant_that_is_not_seen_for_a_while_is_not_billed_anew_when_it_is_back() {
    let before = reading("2026-10-01T09:00:00Z", 0, &[("a", 10, 100)]);
    let unseen = following(
        Some(&before),
        "2026-10-01T10:00:00Z",
        Some(tally(counters("then", 0), &["a"], [])),
    );
    assert_eq!(told_reads(&before, &unseen), Vec::<String>::new());
    let reads = [read("grant/nts/letters", &[("a", 11, 104)])];
    let back = following(
        Some(&unseen),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("then", 0), &["a"], reads)),
    );
    assert_eq!(
        told_reads(&unseen, &back),
        [
            "grant/nts/letters dataset.queries 1 Complete",
            "grant/nts/letters dataset.rows 4 Complete"
        ]
    );
}

#[test]
fn a_server_that_does_not_tell_for_a_while_says_nothing_then_and_no_more_than_the_rest_afterwards() {
    let before = reading("2026-10-01T09:00:00Z", 0, &[("a", 10, 100)]);
    let silent = following(Some(&before), "2026-10-01T10:00:00Z", None);
    assert_eq!(told(&before, &silent).len(), 1, "a zero would be made of a hole");
    let reads = || [read("grant/nts/letters", &[("a", 13, 109)])];
    let again = following(
        Some(&silent),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("then", 0), &["a"], reads())),
    );
    assert_eq!(
        told_reads(&silent, &again),
        [
            "grant/nts/letters dataset.queries 3 Estimated",
            "grant/nts/letters dataset.rows 9 Estimated"
        ],
        "nobody knows in which hour that was"
    );
    let anew = following(
        Some(&silent),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("later", 0), &["a"], reads())),
    );
    assert_eq!(
        told_reads(&silent, &anew),
        [
            "grant/nts/letters dataset.queries 13 Estimated",
            "grant/nts/letters dataset.rows 109 Estimated"
        ]
    );
}

#[test]
fn a_login_that_is_made_again_begins_at_nothing_and_one_that_is_gone_is_forgotten() {
    let before = reading("2026-10-01T09:00:00Z", 0, &[("a#1", 10, 100), ("b#2", 1, 1)]);
    let reads = [read("grant/nts/letters", &[("a#3", 12, 120)])];
    let now = following(
        Some(&before),
        "2026-10-01T10:00:00Z",
        Some(tally(counters("then", 0), &["a#3", "b#2"], reads)),
    );
    assert_eq!(
        told_reads(&before, &now),
        [
            "grant/nts/letters dataset.queries 12 Complete",
            "grant/nts/letters dataset.rows 120 Complete"
        ]
    );
    let logins: Vec<&str> = now
        .reads
        .values()
        .flat_map(|reads| reads.logins.keys().map(String::as_str))
        .collect();
    assert_eq!(logins, ["a#3", "b#2"]);
    let gone = following(
        Some(&now),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("then", 0), &[], [])),
    );
    assert_eq!(gone.reads, BTreeMap::new());
}

#[test]
fn what_a_system_read_of_its_own_data_is_not_billed_when_the_data_becomes_anothers() {
    let own = |queries, billed| {
        let (key, reads) = read("dataset/nts/tax", &[("a", queries, queries)]);
        (key, ReadBy { billed, ..reads })
    };
    let at_nine = following(
        None,
        "2026-10-01T09:00:00Z",
        Some(tally(counters("then", 0), &["a"], [own(50, false)])),
    );
    let at_ten = following(
        Some(&at_nine),
        "2026-10-01T10:00:00Z",
        Some(tally(counters("then", 0), &["a"], [own(60, true)])),
    );
    assert_eq!(told_reads(&at_nine, &at_ten), Vec::<String>::new());
    let at_eleven = following(
        Some(&at_ten),
        "2026-10-01T11:00:00Z",
        Some(tally(counters("then", 0), &["a"], [own(63, true)])),
    );
    assert_eq!(
        told_reads(&at_ten, &at_eleven),
        [
            "dataset/nts/tax dataset.queries 3 Complete",
            "dataset/nts/tax dataset.rows 3 Complete"
        ]
    );
}

#[test]
fn a_reading_stands_for_the_full_hour_when_it_is_the_first_soon_after_it() {
    let moment = |now: &str, before: Option<&str>| moment_of(at(now), before.map(at), HOUR);
    let nine = Some("2026-10-01T09:00:00Z");
    assert_eq!(moment("2026-10-01T10:00:12Z", nine), at("2026-10-01T10:00:00Z"));
    assert_eq!(moment("2026-10-01T10:05:00Z", nine), at("2026-10-01T10:00:00Z"));
    assert_eq!(moment("2026-10-01T10:05:01Z", nine), at("2026-10-01T10:05:01Z"));
    let ten = Some("2026-10-01T10:00:00Z");
    assert_eq!(
        moment("2026-10-01T10:00:40Z", ten),
        at("2026-10-01T10:00:40Z"),
        "another one"
    );
    assert_eq!(
        moment("2026-10-01T10:00:12Z", None),
        at("2026-10-01T10:00:12Z"),
        "it is new"
    );
}

/// What happens between two readings: statements and rows, whether the grant is in force, whether the server tells.
type Step = (u64, u64, bool, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u64..10_000, 0u64..10_000, any::<bool>(), any::<bool>()), 1..6)
}

proptest! {
    #[test]
    fn whatever_lies_between_the_records_add_up_to_what_the_server_counted(
        begin in 0i64..100_000, length in 1i64..100_000, steps in steps(),
    ) {
        let moment = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap().to_string();
        let mut count = Counts::default();
        let mut before = reading(&moment(begin), 1, &[("a", 0, 0)]);
        let mut all = Vec::new();
        let last = (0, 0, true, true);
        for (place, (queries, rows, seen, told)) in (1..).zip(steps.iter().chain([&last])) {
            count.queries += queries;
            count.rows += rows;
            let reads = seen.then(|| read("grant/nts/letters", &[("a", count.queries, count.rows)]));
            let tally = told.then(|| tally(counters("then", 0), &["a"], reads));
            let now = following(Some(&before), &moment(begin + length * place), tally);
            all.extend(records("d1", "nts/tax", &before, &now, HOUR));
            before = now;
        }
        let sum = |meter: DataMeter| -> Exact {
            all.iter().filter(|record| record.meter == meter.name()).map(|record| &record.quantity).sum()
        };
        prop_assert_eq!(sum(DataMeter::Queries), Exact::from(count.queries));
        prop_assert_eq!(sum(DataMeter::Rows), Exact::from(count.rows));
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|record| record.id.as_str()).collect();
        prop_assert_eq!(ids.len(), all.len());
    }
}
