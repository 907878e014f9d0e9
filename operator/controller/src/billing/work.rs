//! Working a run out: from usage to drafts, and to what the ledger issued.

use super::BillingSettings;
use super::gather::Gathered;
use super::reopen::Earlier;
use super::report::{self, Said, Stage, Trouble};
use super::show;
use crate::meter::{reconcile, used};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use maru_crds::{BillingRun, RunAction};
use maru_lake::{Doubts, Lake, LakeError, Summing};
use maru_ledger::{Inputs, Issue, Ledger, Metered, Naming, Page, PageKind, Unbilled};
use maru_meter::{Completeness, Exact, Interval, METERED_PLACES, Rounding, Source, UsageRecord, hour_of};
use maru_rate::{Month, Period, PriceBook, Rated, Usage, World};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Files of the lake that are read at a time.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// What one run came to.
pub(super) struct Outcome {
    pub(super) pages: Vec<Page>,
    /// What was given back of the issued ones since.
    pub(super) credit_notes: Vec<Page>,
    pub(super) warnings: Vec<String>,
    pub(super) version: Option<u64>,
    pub(super) stage: Stage,
    /// What was metered and does not stand on the bills as it was; none where nobody looked.
    pub(super) unbilled: Option<Vec<Unbilled>>,
    /// How much of what was used was seen; none where it was said before.
    pub(super) seen: Option<Seen>,
    /// What each agency's month comes to at its end, where that can be said.
    pub(super) forecast: Vec<(String, Exact)>,
    pub(super) period: Period,
}

/// How much of what was used was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// Up to when each source is recorded.
    pub(super) sources: Vec<(&'static str, Timestamp)>,
    /// The hours of which a meter did not see all.
    pub(super) doubts: Doubts,
}

impl Seen {
    /// In how many hours of all meters as much was seen as this, and no more.
    pub(super) fn hours(&self, completeness: Completeness) -> usize {
        let said = self.doubts.values().flat_map(BTreeMap::values);
        said.filter(|said| **said == completeness).count()
    }
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
    let looked_at = report::is_billed(run);
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
        let mut outcome = working.outcome(&spec)?;
        if outcome.stage == Stage::Issued && !looked_at {
            outcome.unbilled = Some(working.unbilled(&outcome)?);
            // Where it was issued and ended before it could say so.
            outcome.seen = Some(working.seen(outcome.version)?);
        }
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
        let seen = self.seen(version)?;
        if issues && self.now >= closes {
            let holes = self.holes(&rated, &seen);
            if spec.require_complete && !holes.is_empty() {
                let seen = Box::new(seen);
                return Err(Trouble::Incomplete { holes, seen });
            }
            return self.issue(&mut ledger, &rated, version);
        }
        Ok(Outcome {
            pages: ledger.draft(&self.settings.issuer, &rated)?,
            credit_notes: Vec::new(),
            warnings: rated.warnings().to_vec(),
            version,
            stage: if issues { Stage::Open { closes } } else { Stage::Preview },
            unbilled: None,
            seen: Some(seen),
            forecast: self.forecast(version, earlier)?,
            period: self.period,
        })
    }

    fn issued(&self, pages: Vec<Page>, warnings: Vec<String>) -> Outcome {
        let (pages, credit_notes): (Vec<Page>, Vec<Page>) =
            pages.into_iter().partition(|page| page.kind() == PageKind::Invoice);
        let inputs = pages.first().and_then(Page::inputs);
        Outcome {
            credit_notes,
            version: inputs.and_then(|inputs| inputs.usage_table_version),
            pages,
            warnings,
            stage: Stage::Issued,
            unbilled: None,
            seen: None,
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

    /// What the lake held when the bills were issued, against what stands on them.
    fn unbilled(&self, outcome: &Outcome) -> Result<Vec<Unbilled>, Trouble> {
        let mut metered = Metered::new(self.period.interval);
        if outcome.version.is_some() {
            let summing = Summing {
                period: self.period.interval,
                cuts: Vec::new(),
                alone: Vec::new(),
                issued: Vec::new(),
                version: outcome.version,
                threads: THREADS,
            };
            self.lake.sum(&summing, |record: &UsageRecord| -> Result<(), Trouble> {
                metered.add(record, self.world);
                Ok(())
            })?;
        }
        Ok(metered.unbilled(&outcome.pages))
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

    /// What is missing where nothing may be: hours that a source has not recorded, and lines with a hole.
    fn holes(&self, rated: &Rated, seen: &Seen) -> Vec<String> {
        let mut holes = Vec::new();
        for (source, recorded) in &seen.sources {
            if *recorded < self.period.interval.end {
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
        holes
    }

    fn seen(&self, version: Option<u64>) -> Result<Seen, Trouble> {
        let doubts = match version {
            Some(version) => self.lake.doubts(Some(version), self.period.interval)?,
            None => Doubts::new(),
        };
        Ok(Seen {
            sources: self.recorded()?,
            doubts,
        })
    }

    /// Up to when each source is recorded: pods and volumes always, a Prometheus where one was ever asked.
    fn recorded(&self) -> Result<Vec<(&'static str, Timestamp)>, Trouble> {
        let mut recorded = Vec::new();
        for source in [Source::Pods, Source::Volumes] {
            let closed = reconcile::closed(self.lake, source)?;
            recorded.push((source.name(), closed.unwrap_or(Timestamp::MIN)));
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
