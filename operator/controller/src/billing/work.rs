//! Working a run out: from usage to drafts, and to what the ledger issued.

use super::BillingSettings;
use super::gather::Gathered;
use super::reopen::Earlier;
use super::report::{Said, Stage, Trouble};
use super::show;
use crate::meter::used;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use maru_crds::{BillingRun, RunAction};
use maru_lake::{Lake, LakeError, Summing};
use maru_ledger::{Inputs, Issue, Ledger, Naming, Page};
use maru_meter::{Checkpoint, Completeness, Exact, Interval, METERED_PLACES, Rounding, Source, UsageRecord, hour_of};
use maru_rate::{Month, Period, PriceBook, Rated, Usage, World};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Files of the lake that are read at a time.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// What one run came to.
pub(super) struct Outcome {
    pub(super) pages: Vec<Page>,
    pub(super) warnings: Vec<String>,
    pub(super) version: Option<u64>,
    pub(super) stage: Stage,
    /// What each agency's month comes to at its end, where that can be said.
    pub(super) forecast: Vec<(String, Exact)>,
    pub(super) period: Period,
}

/// One look at a run: what it came to, shown to the agencies if it is to issue.
pub(super) async fn turn(
    client: &Client,
    lake: &Arc<Lake>,
    settings: &BillingSettings,
    run: &BillingRun,
    now: Timestamp,
) -> Said {
    match work(client, lake, settings, run, now).await {
        Ok((outcome, gathered)) => {
            if run.spec.action == RunAction::Issue
                && let Err(trouble) = show::bills(client, run, &outcome, &gathered.agencies, now).await
            {
                return Said::Failed(trouble);
            }
            Said::Worked(Box::new(outcome))
        }
        Err(trouble) => Said::Failed(trouble),
    }
}

async fn work(
    client: &Client,
    lake: &Arc<Lake>,
    settings: &BillingSettings,
    run: &BillingRun,
    now: Timestamp,
) -> Result<(Outcome, Gathered), Trouble> {
    let gathered = Gathered::read(client, &run.spec.rate_card_ref.name).await?;
    let (lake, settings, spec) = (Arc::clone(lake), settings.clone(), run.spec.clone());
    let task = tokio::task::spawn_blocking(move || {
        let book = gathered.book()?;
        let world = gathered.world()?;
        let month: Month = spec
            .period
            .parse()
            .map_err(|error| Trouble::Refused(format!("spec.period: {error}")))?;
        let period = Period::new(month, &book.zone)
            .ok_or_else(|| Trouble::Refused(format!("spec.period: {month} is beyond the calendar")))?;
        let working = Working {
            lake: &lake,
            settings: &settings,
            gathered: &gathered,
            book: &book,
            world: &world,
            period,
            now,
        };
        let outcome = working.outcome(&spec)?;
        Ok((outcome, gathered))
    });
    task.await.map_err(|error| Trouble::Failed(error.to_string()))?
}

pub(super) struct Working<'a> {
    pub(super) lake: &'a Lake,
    pub(super) settings: &'a BillingSettings,
    gathered: &'a Gathered,
    pub(super) book: &'a PriceBook,
    world: &'a World,
    pub(super) period: Period,
    now: Timestamp,
}

impl<'a> Working<'a> {
    fn outcome(&self, spec: &maru_crds::BillingRunSpec) -> Result<Outcome, Trouble> {
        let mut ledger = Ledger::at(&self.settings.ledger)?;
        let issues = spec.action == RunAction::Issue;
        if issues {
            let pages = ledger.pages(&self.settings.issuer, self.period.month)?;
            if !pages.is_empty() {
                return Ok(self.issued(pages, Vec::new()));
            }
        }
        let version = self.lake.version()?;
        let earlier = self.earlier(&mut ledger, version)?;
        let usage = self.usage(self.period, version, None)?;
        let rated = earlier.reopened.clone().rate(usage, &earlier.carry).map_err(refused)?;
        let closes = self.period.interval.end + grace(&spec.grace)?;
        if issues && self.now >= closes {
            if spec.require_complete {
                self.check_complete(&rated)?;
            }
            return self.issue(&mut ledger, &rated, version);
        }
        Ok(Outcome {
            pages: ledger.draft(&self.settings.issuer, &rated)?,
            warnings: rated.warnings().to_vec(),
            version,
            stage: if issues { Stage::Open { closes } } else { Stage::Preview },
            forecast: self.forecast(version, earlier)?,
            period: self.period,
        })
    }

    fn issued(&self, pages: Vec<Page>, warnings: Vec<String>) -> Outcome {
        let inputs = pages.first().and_then(Page::inputs);
        Outcome {
            version: inputs.and_then(|inputs| inputs.usage_table_version),
            pages,
            warnings,
            stage: Stage::Issued,
            forecast: Vec::new(),
            period: self.period,
        }
    }

    /// What was used in a period, as the usage table was at a version; `scaled` gives each quantity so many times over.
    pub(super) fn usage(
        &self,
        period: Period,
        version: Option<u64>,
        scaled: Option<&Exact>,
    ) -> Result<Usage<'a>, Trouble> {
        let mut usage = Usage::new(self.book, self.world, period);
        if version.is_some() {
            let summing = Summing {
                period: period.interval,
                cuts: usage.cuts(),
                alone: usage.one_by_one(),
                issued: Vec::new(),
                version,
                threads: THREADS,
            };
            self.lake.sum(&summing, |record: &UsageRecord| -> Result<(), Trouble> {
                let added = match scaled {
                    None => usage.add(record),
                    Some(times) => usage.add(&UsageRecord {
                        quantity: (&record.quantity * times).round(METERED_PLACES, Rounding::HalfEven),
                        ..record.clone()
                    }),
                };
                added.map_err(refused)
            })?;
        }
        Ok(usage)
    }

    /// What the month comes to if use goes on as it did in the hours that are over.
    fn forecast(&self, version: Option<u64>, earlier: Earlier<'a>) -> Result<Vec<(String, Exact)>, Trouble> {
        let interval = self.period.interval;
        let passed = hour_of(self.now).duration_since(interval.start).as_secs();
        if passed <= 0 || self.now >= interval.end {
            return Ok(Vec::new());
        }
        let Some(times) = Exact::ratio(interval.length().as_secs(), passed) else {
            return Ok(Vec::new());
        };
        let usage = self.usage(self.period, version, Some(&times))?;
        let rated = earlier.reopened.rate(usage, &earlier.carry).map_err(refused)?;
        let totals = rated.statements().iter();
        Ok(totals
            .map(|statement| (statement.agency.clone(), statement.total.clone()))
            .collect())
    }

    /// Nothing may be missing: every hour is recorded, and no line has a hole.
    fn check_complete(&self, rated: &Rated) -> Result<(), Trouble> {
        let mut holes = Vec::new();
        for (source, recorded) in self.recorded()? {
            if recorded < self.period.interval.end {
                holes.push(format!("{source}: recorded up to {recorded}"));
            }
        }
        for statement in rated.statements() {
            for line in &statement.lines {
                if line.completeness == Completeness::Missing {
                    let meter = line.meter.as_deref().unwrap_or_default();
                    holes.push(format!("{meter} of {} has a hole", statement.agency));
                }
            }
        }
        if holes.is_empty() {
            Ok(())
        } else {
            Err(Trouble::Incomplete(holes))
        }
    }

    /// Up to when each source is recorded: pods and volumes always, a Prometheus where one was ever asked.
    fn recorded(&self) -> Result<Vec<(&'static str, Timestamp)>, Trouble> {
        let mut recorded = Vec::new();
        for source in [Source::Pods, Source::Volumes] {
            let kept = self.lake.kept(source.name())?;
            let closed = kept.and_then(|bytes| serde_json::from_slice::<Checkpoint>(&bytes).ok());
            recorded.push((
                source.name(),
                closed.map_or(Timestamp::MIN, |checkpoint| checkpoint.closed()),
            ));
        }
        recorded.extend(used::recorded(self.lake)?.map(|until| (maru_meter::used::SOURCE, until)));
        Ok(recorded)
    }

    fn issue(&self, ledger: &mut Ledger, rated: &Rated, version: Option<u64>) -> Result<Outcome, Trouble> {
        let inputs = self.inputs(version, self.first_period(rated)?)?;
        let issue = Issue {
            issuer: &self.settings.issuer,
            fiscal_year: self.period.month.first_day().year(),
            at: self.now,
            inputs: &inputs,
        };
        let pages = ledger.issue(rated, &issue)?;
        Ok(self.issued(pages, rated.warnings().to_vec()))
    }

    fn inputs(&self, version: Option<u64>, first: Period) -> Result<Inputs, Trouble> {
        let interval = Interval {
            start: first.interval.start,
            end: self.period.interval.end,
        };
        let mut naming = Naming::new(interval);
        self.gathered.name(&mut naming)?;
        if let Some(version) = version {
            let take = |record: &UsageRecord| -> Result<(), Trouble> { Ok(naming.usage_by_day(record)?) };
            self.lake.each_at(version, interval, take)?;
        }
        Ok(Inputs {
            usage_table_version: version,
            ..naming.inputs()
        })
    }
}

fn refused(error: impl std::fmt::Display) -> Trouble {
    Trouble::Refused(error.to_string())
}

fn grace(text: &str) -> Result<SignedDuration, Trouble> {
    let hours = text.strip_suffix('h').and_then(|hours| hours.parse::<u32>().ok());
    let hours =
        hours.ok_or_else(|| Trouble::Refused(format!("spec.grace: `{text}`: allowed are hours such as 72h")))?;
    Ok(SignedDuration::from_hours(i64::from(hours)))
}

impl From<LakeError> for Trouble {
    fn from(error: LakeError) -> Self {
        Self::Failed(format!("the lake: {error}"))
    }
}
