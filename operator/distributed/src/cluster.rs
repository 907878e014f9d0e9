//! A cluster that sums.

use std::collections::BTreeMap;
use std::time::Duration;

use ballista::prelude::SessionContextExt;
use ballista_core::object_store::{session_config_with_s3_support, session_state_with_s3_support};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
use maru_lake::{Lake, LakeError, Summing};
use maru_meter::{Exact, UsageRecord};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use url::Url;

use crate::plan::Plan;
use crate::rows::{self, Key};

/// Parts that a table is read in: enough for a dozen executors of some cores each, few enough for small months.
const PARTITIONS: usize = 32;

/// How long a scheduler may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a cluster did not sum.
#[derive(Debug, thiserror::Error)]
pub enum DistributedError {
    /// No runtime could be made here.
    #[error("no threads to wait with: {0}")]
    Threads(#[source] std::io::Error),
    /// Nothing answers there.
    #[error(
        "no Ballista cluster answers at {url}: {reason}; allowed is the address of a scheduler, such as df://scheduler:50050"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The cluster, or the plan on it.
    #[error("the Ballista cluster at {url}: {error}")]
    Cluster {
        /// Its scheduler.
        url: String,
        /// What it said.
        error: Box<DataFusionError>,
    },
    /// The lake's log could not be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// What came back is no usage.
    #[error("the Ballista cluster at {url} gave something that is no usage: {reason}")]
    Odd {
        /// Its scheduler.
        url: String,
        /// What is odd about it.
        reason: String,
    },
}

/// A Ballista cluster, by its scheduler.
pub struct Cluster {
    url: String,
    runtime: Runtime,
    context: SessionContext,
}

impl Cluster {
    /// Connects to a scheduler such as `df://scheduler:50050`. Keys and endpoint of an object store come from the environment, here as
    /// on each executor.
    ///
    /// # Errors
    /// Where nothing answers there.
    pub fn at(url: &str) -> Result<Self, DistributedError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ballista")
            .enable_all()
            .build()
            .map_err(DistributedError::Threads)?;
        runtime
            .block_on(answers(url))
            .map_err(|reason| DistributedError::Unreachable {
                url: url.to_owned(),
                reason,
            })?;
        let connected = runtime.block_on(async {
            let config = session_config_with_s3_support().with_target_partitions(PARTITIONS);
            SessionContext::remote_with_state(url, session_state_with_s3_support(config)?).await
        });
        let context = connected.map_err(|error| failed(url, error))?;
        Ok(Self {
            url: url.to_owned(),
            runtime,
            context,
        })
    }

    /// Gives what a period used, the same as [`Lake::sum`]: one record for each agency, system, meter, unit, completeness and slot between
    /// cuts; and, as they are, records that cross a cut, whose meter counts one by one, or that became known after
    /// their period was issued. `summing.threads` says nothing here. What is held here grows with agencies, systems and meters.
    ///
    /// # Errors
    /// What `take` refuses, and whatever lake and cluster refuse.
    pub fn sum<E: From<DistributedError>>(
        &self,
        lake: &Lake,
        summing: &Summing,
        mut take: impl FnMut(&UsageRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let files = lake
            .files(summing.version, summing.period)
            .map_err(DistributedError::Lake)?;
        if files.is_empty() {
            return Ok(());
        }
        let plan = Plan::of(summing);
        let table = self.wait(async { self.context.read_parquet(files, ParquetReadOptions::default()).await })?;
        let alone = self.wait(async { plan.alone(table.clone()) })?;
        self.each(alone, |batch| {
            for record in rows::records(batch).map_err(|reason| self.odd(reason))? {
                take(&record)?;
            }
            Ok::<(), E>(())
        })?;
        let mut sums: BTreeMap<Key, Exact> = BTreeMap::new();
        let summed = self.wait(async { plan.sums(table) })?;
        self.each(summed, |batch| {
            for (key, quantity) in rows::sums(batch).map_err(|reason| self.odd(reason))? {
                *sums.entry(key).or_default() += &quantity;
            }
            Ok::<(), E>(())
        })?;
        for (number, (key, quantity)) in sums.into_iter().enumerate() {
            let record = rows::as_record(number, key, plan.slots(), quantity).map_err(|reason| self.odd(reason))?;
            take(&record)?;
        }
        Ok(())
    }

    /// Runs a query, a batch of its answer at a time.
    fn each<E: From<DistributedError>>(
        &self,
        query: DataFrame,
        mut take: impl FnMut(&arrow_array::RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut answer = self.wait(query.execute_stream())?;
        while let Some(batch) = self.wait(answer.try_next())? {
            take(&batch)?;
        }
        Ok(())
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, DataFusionError>>) -> Result<T, DistributedError> {
        self.runtime.block_on(work).map_err(|error| failed(&self.url, error))
    }

    fn odd(&self, reason: String) -> DistributedError {
        DistributedError::Odd {
            url: self.url.clone(),
            reason,
        }
    }
}

/// A session is made without asking anybody: whether somebody is there is seen here and not in the middle of a sum.
async fn answers(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port()) else {
        return Err("it names no host and port".to_owned());
    };
    let connected = tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await;
    match connected {
        Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
        Ok(stream) => stream.map(drop).map_err(|error| error.to_string()),
    }
}

fn failed(url: &str, error: DataFusionError) -> DistributedError {
    DistributedError::Cluster {
        url: url.to_owned(),
        error: Box::new(error),
    }
}
