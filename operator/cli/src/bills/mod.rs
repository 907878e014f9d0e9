//! `kubectl maru bills` and `kubectl maru bill`: what an agency reads. They need no right but that to read bills in the agency's namespaces.

pub mod credit;
mod list;
pub(crate) mod object;

use clap::{Args, ValueEnum};
use kube::api::Api;
use maru_crds::Bill;
use maru_ledger::Ledger;

use crate::connect::{self, Connection, list as listed};
use crate::problem::Problem;
use crate::terminal;

/// Which bills to list.
#[derive(Debug, Args)]
pub struct BillsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Those of this month only, such as 2026-10.
    #[arg(long, value_name = "YYYY-MM")]
    period: Option<String>,
    /// Those of this agency only.
    #[arg(long, value_name = "NAME")]
    agency: Option<String>,
    /// How to print: `csv` has a row for each bill.
    #[arg(short, long, value_enum, default_value_t = BillOutput::Table)]
    output: BillOutput,
}

/// Which bill to show.
#[derive(Debug, Args)]
pub struct BillArgs {
    /// The number of the bill, such as 2026-000123, or the name of its object, which a draft has, too: invoice-2026-10.
    #[arg(value_name = "BILL")]
    bill: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print how each amount was worked out, to be redone with a pocket calculator.
    #[arg(long, conflicts_with = "output")]
    explain: bool,
    /// How to print: `csv` has a row for each line.
    #[arg(short, long, value_enum, default_value_t = BillOutput::Table)]
    output: BillOutput,
    /// Read the bill in a ledger in place of the cluster, which shows the last three months only: the path of its SQLite file, or the URL of
    /// its PostgreSQL database.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["namespace", "all_namespaces", "kubeconfig", "context"])]
    ledger: Option<String>,
    /// Who issued the bill, in a ledger.
    #[arg(long, value_name = "NAME", default_value = "maru", requires = "ledger")]
    issuer: String,
}

/// Where bills are looked for.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    cluster: Connection,
    /// The agency's namespace; none: that of the context.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// In all namespaces, for who may read all bills.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// How bills are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BillOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same document as YAML.
    Yaml,
    /// For spreadsheets.
    Csv,
}

/// The bills that the caller may read.
pub fn list(args: &BillsArgs) -> Result<String, Problem> {
    let (bills, place) = connect::block_on(args.place.read())?;
    let mut rows: Vec<list::Row> = bills.iter().map(list::Row::of).collect();
    rows.retain(|row| {
        let period = args.period.as_ref().is_none_or(|period| row.period == *period);
        period && args.agency.as_ref().is_none_or(|agency| row.agency == *agency)
    });
    let place = format!("{place}{}", args.place.elsewhere());
    list::print(rows, args.output, &place)
}

/// One bill.
pub fn show(args: &BillArgs) -> Result<String, Problem> {
    let bill = match &args.ledger {
        Some(address) => in_ledger(args, address)?,
        None => in_cluster(args)?,
    };
    if args.explain {
        return Ok(maru_bill::explain(&bill.bill));
    }
    print(bill.bill, &bill.notes, args.output)
}

/// A bill in the form that is asked for.
fn print(bill: maru_bill::Bill, notes: &[String], output: BillOutput) -> Result<String, Problem> {
    let bills = [bill];
    match output {
        BillOutput::Table => Ok(maru_bill::table_within(&bills, notes, terminal::columns())),
        BillOutput::Json => maru_bill::json(&bills, &[], notes).map_err(Problem::new),
        BillOutput::Yaml => maru_bill::yaml(&bills, &[], notes).map_err(Problem::new),
        BillOutput::Csv => maru_bill::lines(&bills).csv().map_err(Problem::new),
    }
}

/// A bill, and what is to be said of it.
pub(crate) struct Shown {
    pub(crate) bill: maru_bill::Bill,
    notes: Vec<String>,
}

fn in_cluster(args: &BillArgs) -> Result<Shown, Problem> {
    let (bills, place) = connect::block_on(args.place.read())?;
    let wanted =
        |bill: &&Bill| bill.spec.number.as_ref() == Some(&args.bill) || bill.metadata.name.as_ref() == Some(&args.bill);
    let mut found = bills.iter().filter(wanted);
    let Some(bill) = found.next() else {
        return Err(Problem::new(format!(
            "there is no bill `{}` {place}: allowed are the numbers and names that `kubectl maru bills` lists there{}; bills that are older than \
             three months are read with --ledger",
            args.bill,
            args.place.elsewhere()
        )));
    };
    if found.next().is_some() {
        return Err(Problem::new(format!(
            "there are several bills `{}` {place}: give the number of one, or its namespace with -n",
            args.bill
        )));
    }
    object::read(bill)
}

fn in_ledger(args: &BillArgs, address: &str) -> Result<Shown, Problem> {
    let problem = |error| Problem::new(format!("--ledger: {error}"));
    let mut ledger = Ledger::to_read(address).map_err(problem)?;
    let page = ledger.page(&args.issuer, &args.bill).map_err(problem)?;
    let Some(page) = page else {
        return Err(Problem::new(format!(
            "{} has issued no bill `{}`: allowed are numbers such as 2026-000123",
            args.issuer, args.bill
        )));
    };
    Ok(Shown {
        bill: maru_bill::Bill::of(&page),
        notes: Vec::new(),
    })
}

impl PlaceArgs {
    /// Where else one may look, as the end of a sentence.
    pub(crate) fn elsewhere(&self) -> &'static str {
        if self.all_namespaces {
            ""
        } else {
            "; -n NAME looks in another namespace, -A in all"
        }
    }

    /// The bills of the place, and its name in a sentence.
    pub(crate) async fn read(&self) -> Result<(Vec<Bill>, String), Problem> {
        let (client, namespace) = self.cluster.open().await?;
        let namespace = self.namespace.clone().unwrap_or(namespace);
        let (api, place) = if self.all_namespaces {
            (Api::<Bill>::all(client), "in any namespace".to_owned())
        } else {
            let place = format!("in namespace {namespace}");
            (Api::<Bill>::namespaced(client, &namespace), place)
        };
        let bills = listed(&api).await.map_err(|error| trouble(error, &place))?;
        Ok((bills, place))
    }
}

/// What is wrong, and what to do.
fn trouble(error: kube::Error, place: &str) -> Problem {
    match error {
        kube::Error::Api(status) if status.code == 403 => Problem::new(format!(
            "you may not read bills {place} ({}): name a namespace of your own agency with -n, or have its administrators put you under \
             spec.billReaders of the Agency",
            status.message
        )),
        kube::Error::Api(status) if status.code == 401 => Problem::new(format!(
            "the cluster does not know who you are ({}): log in again, as for kubectl",
            status.message
        )),
        kube::Error::Api(status) if status.code == 404 => Problem::new(
            "the cluster does not know bills: the chart maru-crds is not installed there, or it is another cluster than you meant (--context)",
        ),
        error => Problem::new(format!(
            "the cluster does not answer as it should: {error}; does kubectl reach it?"
        )),
    }
}
