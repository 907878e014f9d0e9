//! `kubectl maru verify`: an issued bill, worked out again from what it names.

mod again;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use maru_ledger::{Digest, Inputs, Ledger, Naming, Page};
use maru_meter::Interval;
use maru_rate::{Carry, Course, Line, Month, Period, Rated, Statement};

use crate::Printed;
use crate::manifests::Manifests;
use crate::problem::Problem;
use crate::usage::UsageFiles;

/// Differences that are said one by one; the rest is counted.
const MOST_SAID: usize = 20;

/// Which bill, and what to work it out from.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The number of the bill, such as 2026-000123. Without it the books alone are checked.
    #[arg(value_name = "BILL")]
    number: Option<String>,
    /// The ledger: the path of its SQLite file, or the URL of its PostgreSQL database.
    #[arg(long, value_name = "ADDRESS", env = "MARU_LEDGER", hide_env_values = true)]
    ledger: String,
    /// Who issued the bill.
    #[arg(long, value_name = "NAME", default_value = "maru")]
    issuer: String,
    /// The manifests that the bill was made from. Without them the books are checked, and the figures are not worked out again.
    #[arg(short = 'f', long = "filename", value_name = "FILE", requires = "usage", num_args = 1..)]
    files: Vec<PathBuf>,
    /// The usage records that the bill was made from: JSON lines, or the directory of a lake.
    #[arg(long, value_name = "FILE", requires = "files", num_args = 1..)]
    usage: Vec<PathBuf>,
}

/// What agrees and what does not.
#[derive(Default)]
struct Report {
    text: String,
    differences: usize,
}

impl Report {
    fn say(&mut self, what: &str) {
        let _ = writeln!(self.text, "{what}"); // writing to a string does not fail
    }

    fn differs(&mut self, what: &str) {
        self.differences += 1;
        if self.differences <= MOST_SAID {
            self.say(&format!("DIFFERS {what}"));
        }
    }
}

/// What was found. The books are checked as a whole: a bill is worth what the chain is worth that it stands in.
pub fn run(args: &VerifyArgs) -> Result<Printed, Problem> {
    let problem = |error| Problem::new(format!("--ledger: {error}"));
    let mut ledger = Ledger::to_read(&args.ledger).map_err(problem)?;
    let mut report = Report::default();
    if let Some(number) = &args.number {
        verify_bill(&mut ledger, args, number, &mut report)?;
    } else if args.files.is_empty() {
        check_books(&mut ledger, args, None, &mut report).map_err(problem)?;
    } else {
        return Err(Problem::new(
            "-f and --usage work a bill out again: name its number, such as 2026-000123",
        ));
    }
    match report.differences {
        0 => report.say("Everything agrees."),
        1 => report.say("1 thing differs."),
        differences if differences > MOST_SAID => {
            report.say(&format!("{differences} things differ; the first {MOST_SAID} are said."));
        }
        differences => report.say(&format!("{differences} things differ.")),
    }
    Ok(Printed {
        agrees: report.differences == 0,
        bytes: report.text.into_bytes(),
    })
}

fn verify_bill(ledger: &mut Ledger, args: &VerifyArgs, number: &str, report: &mut Report) -> Result<(), Problem> {
    let problem = |error| Problem::new(format!("--ledger: {error}"));
    let Some(page) = ledger.page(&args.issuer, number).map_err(problem)? else {
        let message = format!(
            "{} has issued no bill {number}: allowed are numbers such as 2026-000123",
            args.issuer
        );
        return Err(Problem::new(message));
    };
    let statement = page.statement();
    report.say(&format!(
        "{} {number} of {}, {}: {} {}",
        page.kind(),
        statement.agency,
        page.month(),
        page.currency(),
        statement.total
    ));
    check_books(ledger, args, Some(number), report).map_err(problem)?;
    if args.files.is_empty() {
        report.say("figures: not worked out again; give -f and --usage for that");
        return Ok(());
    }
    check_figures(ledger, args, &page, report)
}

fn check_books(
    ledger: &mut Ledger,
    args: &VerifyArgs,
    number: Option<&str>,
    report: &mut Report,
) -> Result<(), maru_ledger::LedgerError> {
    let verified = ledger.verify()?;
    for disagreement in verified.disagreements {
        report.differs(&format!("in the books: {disagreement}"));
    }
    let bill = number
        .map(|number| ledger.verify_bill(&args.issuer, number))
        .transpose()?
        .flatten();
    for disagreement in bill.unwrap_or_default() {
        report.differs(&format!("in the books: {disagreement}"));
    }
    let verdict = if report.differences == 0 {
        "agree"
    } else {
        "do not agree"
    };
    report.say(&format!(
        "books: {} bills and {} entries {verdict}; they end in {}",
        verified.bills, verified.entries, verified.head
    ));
    Ok(())
}

fn check_figures(ledger: &mut Ledger, args: &VerifyArgs, page: &Page, report: &mut Report) -> Result<(), Problem> {
    if page.kind() != maru_ledger::PageKind::Invoice {
        report.say("figures: a credit note is worked out from the bill that it refers to; its lines were checked with the books");
        return Ok(());
    }
    let problem = |error| Problem::new(format!("--ledger: {error}"));
    let (rated, inputs) = again::work_out(ledger, args, page)?;
    match page.inputs() {
        Some(named) => check_inputs(named, &inputs, report),
        None => report.say("inputs: the bill names none; it was issued before they were kept"),
    }
    let agency = &page.statement().agency;
    match rated.statements().iter().find(|statement| statement.agency == *agency) {
        Some(again) => {
            let again = ledger.with_numbers(&args.issuer, again).map_err(problem)?;
            compare(page.statement(), &again, report);
        }
        None => report.differs(&format!("{agency} gets no bill for {} from these files", page.month())),
    }
    Ok(())
}

/// Works months out from files one after the other, after what the month before them carries on, and names what the last one was worked out
/// from. A month is issued at the moment beside it, else as `kubectl maru rate` takes it.
pub fn work_out(
    files: &[PathBuf],
    usage_files: &[PathBuf],
    months: &[(Month, Option<Timestamp>)],
    carry: &Carry,
) -> Result<(Rated, Inputs), Problem> {
    let manifests = Manifests::read(files)?;
    let (mut periods, mut issues) = (Vec::new(), Vec::new());
    for (month, issued) in months {
        let period = Period::new(*month, &manifests.book.zone)
            .ok_or_else(|| Problem::new(format!("{month} is beyond the calendar")))?;
        let usual = period.interval.end.checked_add(Course::GRACE).map_err(Problem::new)?;
        periods.push(period);
        issues.push((period, issued.unwrap_or(usual)));
    }
    let nothing = || Problem::new("no month is to be worked out: allowed is at least one");
    let (first, (last, known_by)) = periods.first().zip(issues.last()).ok_or_else(nothing)?;
    let mut naming = Naming::new(Interval {
        start: first.interval.start,
        end: last.interval.end,
    });
    Manifests::read_and_name(files, &mut naming)?;
    let mut reader = UsageFiles::new(&periods);
    let mut course = Course::issued(&manifests.book, &manifests.world, issues.iter().copied());
    for file in usage_files {
        reader.read(file, |record| {
            // A bill knows nothing of what became known after it was issued.
            if record.recorded_at.is_none_or(|known| known <= *known_by) {
                naming.usage(record).map_err(|error| error.to_string())?;
            }
            course.add(record).map_err(|error| error.to_string())
        })?;
    }
    let rated = course.rate(carry).map_err(Problem::new)?.pop().ok_or_else(nothing)?;
    Ok((rated, naming.inputs()))
}

fn check_inputs(named: &Inputs, given: &Inputs, report: &mut Report) {
    let parts: [(&str, Digest, Digest); 3] = [
        ("rate card", named.rate_card, given.rate_card),
        ("manifests", named.manifests, given.manifests),
        ("usage", named.usage, given.usage),
    ];
    let mut same = true;
    for (what, named, given) in parts {
        if named != given {
            same = false;
            report.differs(&format!("{what}: the bill names {named} and the files are {given}"));
        }
    }
    if same {
        report.say("inputs: the rate card, the manifests and the usage are those that the bill names");
    }
}

fn compare(issued: &Statement, again: &Statement, report: &mut Report) {
    let before = report.differences;
    for (figure, issued, again) in [
        ("subtotal", &issued.subtotal, &again.subtotal),
        ("tax", &issued.tax, &again.tax),
        ("total", &issued.total, &again.total),
    ] {
        if issued != again {
            report.differs(&format!("{figure}: {issued} was issued and it comes to {again}"));
        }
    }
    if issued.taxes != again.taxes {
        report.differs("the taxes by name and rate are others");
    }
    for (index, number) in (0..issued.lines.len().max(again.lines.len())).zip(1..) {
        match (issued.lines.get(index), again.lines.get(index)) {
            (Some(line), Some(other)) => compare_line(number, line, other, report),
            (Some(line), None) => report.differs(&format!("line {number} ({}) is not there again", name(line))),
            (None, Some(line)) => report.differs(&format!("line {number} ({}) was not issued", name(line))),
            (None, None) => {}
        }
    }
    if report.differences == before {
        report.say(&format!(
            "figures: {} line(s), the taxes and the totals come out as issued",
            issued.lines.len()
        ));
    }
}

fn compare_line(number: u32, issued: &Line, again: &Line, report: &mut Report) {
    if issued == again {
        return;
    }
    if name(issued) != name(again) {
        return report.differs(&format!(
            "line {number} is {} and comes out as {}",
            name(issued),
            name(again)
        ));
    }
    let figures = [
        ("quantity", issued.quantity.as_ref(), again.quantity.as_ref()),
        ("unit price", issued.unit_price.as_ref(), again.unit_price.as_ref()),
        ("amount", Some(&issued.amount), Some(&again.amount)),
        ("tax", Some(&issued.tax), Some(&again.tax)),
    ];
    let mut said = false;
    for (figure, issued, again) in figures {
        if issued != again {
            said = true;
            let show = |value: Option<&maru_meter::Exact>| value.map_or_else(|| "none".to_owned(), ToString::to_string);
            let what = format!(
                "its {figure} was issued as {} and comes to {}",
                show(issued),
                show(again)
            );
            report.differs(&format!("line {number}: {what}"));
        }
    }
    if !said {
        report.differs(&format!(
            "line {number} ({}): its words or times are others",
            name(issued)
        ));
    }
}

/// What a line is for.
fn name(line: &Line) -> String {
    let system = line.system.as_deref().unwrap_or("all systems");
    let what = line.meter.as_deref().or(line.item.as_deref()).unwrap_or_default();
    format!("{system} {} {what}", line.charge.name()).trim_end().to_owned()
}
