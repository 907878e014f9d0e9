//! A data file: records of one day, sorted so that what repeats lies together.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use bytes::Bytes;
use deltalake_core::kernel::{Add, LogicalFileView, Remove};
use jiff::Timestamp;
use maru_meter::{UsageRecord, events, hour_of};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics as Statistic;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use crate::{LakeError, columns};

/// How the names of files begin that hold events, and of those that do not. The log has no place for it that readers keep.
const WITH_EVENTS: &str = "events";
const WITHOUT_EVENTS: &str = "metered";
/// Records in a row group: what a reader holds at a time.
pub(crate) const ROW_GROUP: usize = 1 << 17;

/// A file that a version of the table consists of.
#[derive(Clone)]
pub(crate) struct DataFile {
    pub(crate) path: String,
    pub(crate) day: String,
    pub(crate) bytes: i64,
    pub(crate) rows: u64,
    /// The earliest and the latest start of its records, and the latest end. None where the log does not say.
    reach: Option<Reach>,
    view: LogicalFileView,
}

#[derive(Clone, Copy, Debug)]
struct Reach {
    first: Timestamp,
    last: Timestamp,
    end: Timestamp,
}

/// What the log says of a file's content, in the words of the protocol.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    num_records: u64,
    #[serde(default)]
    min_values: Bounds,
    #[serde(default)]
    max_values: Bounds,
    #[serde(default)]
    null_count: HashMap<String, serde_json::Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Bounds {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl DataFile {
    pub(crate) fn of(view: LogicalFileView) -> Self {
        let statistics = view
            .stats()
            .and_then(|text| serde_json::from_str::<Statistics>(&text).ok());
        let path = view.path().into_owned();
        let day = path
            .split('/')
            .find_map(|part| part.strip_prefix("day="))
            .unwrap_or_default()
            .to_owned();
        Self {
            day,
            bytes: view.size(),
            rows: statistics.as_ref().map_or(0, |known| known.num_records),
            reach: statistics.and_then(|known| {
                Some(Reach {
                    first: known.min_values.start?,
                    last: known.max_values.start?,
                    end: known.max_values.end?,
                })
            }),
            path,
            view,
        }
    }

    /// Whether it may hold records that have a part in an interval or are instants in it.
    pub(crate) fn may_touch(&self, from: Timestamp, until: Timestamp) -> bool {
        self.reach
            .is_none_or(|reach| reach.first < until && (reach.end > from || reach.last >= from))
    }

    /// Whether it may hold records that start between two moments, both included.
    pub(crate) fn may_start_within(&self, first: Timestamp, last: Timestamp) -> bool {
        self.reach
            .is_none_or(|reach| reach.first <= last && reach.last >= first)
    }

    /// Whether it may hold events ([`is_event`]).
    pub(crate) fn may_hold_events(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        !name.starts_with(WITHOUT_EVENTS)
    }

    /// The action that takes it out of the table. `changes` is false where its records stay in other files.
    pub(crate) fn remove(&self, changes: bool) -> Remove {
        self.view.remove_action(changes)
    }
}

/// Writes the records of one day and says how the log names them.
pub(crate) async fn write(
    store: &dyn ObjectStore,
    day: &str,
    records: &mut [UsageRecord],
    changes: bool,
) -> Result<Add, LakeError> {
    records.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let mut writer = Writer::new()?;
    for group in records.chunks(ROW_GROUP) {
        writer.write(group)?;
    }
    writer.finish(store, day, changes).await
}

/// The order that packs best and that sums fastest: whose it is, then what it is of, then time.
pub(crate) fn key(record: &UsageRecord) -> (&str, &str, &str, &str, Timestamp, &str) {
    (
        &record.agency,
        &record.system,
        &record.meter,
        &record.resource,
        record.start,
        &record.id,
    )
}

/// A file that is being written, from records in the order of their [`key`].
pub(crate) struct Writer {
    file: ArrowWriter<Vec<u8>>,
    group: Vec<UsageRecord>,
    statistics: Statistics,
    holds_events: bool,
}

impl Writer {
    pub(crate) fn new() -> Result<Self, LakeError> {
        let file = ArrowWriter::try_new(Vec::new(), columns::SCHEMA.clone(), Some(properties())).map_err(unwritable)?;
        Ok(Self {
            file,
            group: Vec::new(),
            statistics: Statistics::default(),
            holds_events: false,
        })
    }

    pub(crate) fn push(&mut self, record: UsageRecord) -> Result<(), LakeError> {
        self.group.push(record);
        if self.group.len() == ROW_GROUP {
            let group = std::mem::take(&mut self.group);
            self.write(&group)?;
        }
        Ok(())
    }

    fn write(&mut self, group: &[UsageRecord]) -> Result<(), LakeError> {
        if group.is_empty() {
            return Ok(());
        }
        for record in group {
            self.statistics.count(record);
            self.holds_events |= is_event(&record.id);
        }
        self.file.write(&columns::encode(group)?).map_err(unwritable)
    }

    /// Puts the file into the store, under a name of its own.
    pub(crate) async fn finish(self, store: &dyn ObjectStore, day: &str, changes: bool) -> Result<Add, LakeError> {
        let file = self.encoded()?;
        let add = file.put(store, day).await?;
        Ok(Add {
            data_change: changes,
            ..add
        })
    }

    fn encoded(mut self) -> Result<Encoded, LakeError> {
        let rest = std::mem::take(&mut self.group);
        self.write(&rest)?;
        Ok(Encoded {
            bytes: self.file.into_inner().map_err(unwritable)?,
            statistics: self.statistics,
            holds_events: self.holds_events,
        })
    }
}

/// A whole file that is nowhere yet.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    statistics: Statistics,
    holds_events: bool,
}

impl Encoded {
    /// Puts it into the store, under a name of its own.
    pub(crate) async fn put(self, store: &dyn ObjectStore, day: &str) -> Result<Add, LakeError> {
        let kind = if self.holds_events { WITH_EVENTS } else { WITHOUT_EVENTS };
        let path = format!("{}={day}/{kind}-{}.parquet", columns::DAY, uuid::Uuid::new_v4());
        let size = self.bytes.len();
        store
            .put(&Path::from(path.as_str()), PutPayload::from(self.bytes))
            .await
            .map_err(|error| LakeError::Store {
                file: path.clone(),
                error: Box::new(error),
            })?;
        Ok(Add {
            path,
            partition_values: HashMap::from([(columns::DAY.to_owned(), Some(day.to_owned()))]),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            modification_time: Timestamp::now().as_millisecond(),
            data_change: true,
            stats: serde_json::to_string(&self.statistics).ok(),
            ..Add::default()
        })
    }
}

/// A file of a batch that has the file's columns and order.
pub(crate) fn encode(batch: &RecordBatch) -> Result<Encoded, LakeError> {
    let mut writer = Writer::new()?;
    let bounds = |name: &str| {
        let moments = columns::moments(batch, name).map_err(unwritable)?.values();
        let moment = |micros: Option<&i64>| {
            let micros = micros.copied().unwrap_or_default();
            Timestamp::from_microsecond(micros).map_err(unwritable)
        };
        Ok::<_, LakeError>((moment(moments.iter().min())?, moment(moments.iter().max())?))
    };
    let (start, end) = (bounds("start")?, bounds("end")?);
    writer.statistics = Statistics {
        num_records: batch.num_rows() as u64,
        min_values: Bounds {
            start: Some(whole_millis(start.0)),
            end: Some(whole_millis(end.0)),
        },
        max_values: Bounds {
            start: Some(next_millis(start.1)),
            end: Some(next_millis(end.1)),
        },
        null_count: HashMap::new(),
    };
    let ids = columns::column(batch, "id").map_err(unwritable)?;
    writer.holds_events = ids.as_string::<i32>().iter().flatten().any(is_event);
    writer.file.write(batch).map_err(unwritable)?;
    writer.encoded()
}

fn unwritable(error: impl std::fmt::Display) -> LakeError {
    LakeError::Unwritable(error.to_string())
}

impl Statistics {
    fn count(&mut self, record: &UsageRecord) {
        let least = |known: &mut Option<Timestamp>, moment| {
            *known = Some(known.map_or(moment, |known: Timestamp| known.min(moment)));
        };
        let most = |known: &mut Option<Timestamp>, moment| {
            *known = Some(known.map_or(moment, |known: Timestamp| known.max(moment)));
        };
        self.num_records += 1;
        least(&mut self.min_values.start, whole_millis(record.start));
        least(&mut self.min_values.end, whole_millis(record.end));
        most(&mut self.max_values.start, next_millis(record.start));
        most(&mut self.max_values.end, next_millis(record.end));
    }
}

/// The protocol keeps milliseconds in its bounds.
fn whole_millis(moment: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(moment.as_microsecond().div_euclid(1000)).unwrap_or(Timestamp::MIN)
}

fn next_millis(moment: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(
        moment.as_microsecond().div_euclid(1000) + i64::from(moment.as_microsecond() % 1000 != 0),
    )
    .unwrap_or(Timestamp::MAX)
}

fn properties() -> WriterProperties {
    let id = ColumnPath::from("id");
    let moments = ["start", "end", "recorded_at"].map(ColumnPath::from);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(id.clone(), false)
        .set_column_statistics_enabled(id.clone(), EnabledStatistics::None)
        .set_column_encoding(id, Encoding::DELTA_BYTE_ARRAY);
    for moment in moments {
        properties = properties.set_column_dictionary_enabled(moment, true);
    }
    properties.build()
}

/// Reads a file's bytes, whole.
pub(crate) async fn fetch(store: &dyn ObjectStore, file: &DataFile) -> Result<Bytes, LakeError> {
    let failed = |error: object_store::Error| match error {
        object_store::Error::NotFound { .. } => LakeError::Damaged {
            file: file.path.clone(),
            reason: "it is not there".to_owned(),
        },
        error => LakeError::Store {
            file: file.path.clone(),
            error: Box::new(error),
        },
    };
    let got = store.get(&Path::from(file.path.as_str())).await.map_err(failed)?;
    let bytes = got.bytes().await.map_err(failed)?;
    if i64::try_from(bytes.len()) != Ok(file.bytes) {
        return Err(LakeError::Damaged {
            file: file.path.clone(),
            reason: format!("it has {} bytes where the table's log says {}", bytes.len(), file.bytes),
        });
    }
    Ok(bytes)
}

/// A file's bytes, understood as far as its footer.
pub(crate) struct Reader {
    file: Arc<str>,
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
}

/// The earliest and the latest start of a row group's records, and the latest end, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupReach {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) end: i64,
}

impl Reader {
    pub(crate) fn open(file: &str, bytes: Bytes) -> Result<Self, LakeError> {
        // With the columns in the form that this crate reads.
        let options = ArrowReaderOptions::new().with_schema(columns::SCHEMA.clone());
        let metadata = ArrowReaderMetadata::load(&bytes, options).map_err(|error| damaged(file, &error))?;
        Ok(Self {
            file: file.into(),
            bytes,
            metadata,
        })
    }

    fn place(&self, name: &str) -> Option<usize> {
        let columns = self.metadata.parquet_schema().columns();
        columns.iter().position(|column| column.name() == name)
    }

    /// The row groups of which the footer does not say that a column of names has one name only.
    pub(crate) fn not_only(&self, column: &str, name: &str) -> Vec<usize> {
        let column = self.place(column);
        let says = |group: &RowGroupMetaData| match group.column(column?).statistics()? {
            Statistic::ByteArray(names) => Some(
                names.min_is_exact()
                    && names.max_is_exact()
                    && names.min_opt()?.data() == name.as_bytes()
                    && names.max_opt()?.data() == name.as_bytes(),
            ),
            _ => None,
        };
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        groups
            .filter(|(_, group)| says(group) != Some(true))
            .map(|(place, _)| place)
            .collect()
    }

    /// What the footer says of each row group's times; none where it does not.
    pub(crate) fn reaches(&self) -> Vec<Option<GroupReach>> {
        let (start, end) = (self.place("start"), self.place("end"));
        let groups = self.metadata.metadata().row_groups();
        let reach = |group: &RowGroupMetaData| {
            let bounds = |column: Option<usize>| match group.column(column?).statistics()? {
                Statistic::Int64(moments) => Some((*moments.min_opt()?, *moments.max_opt()?)),
                _ => None,
            };
            let ((first, last), (_, end)) = (bounds(start)?, bounds(end)?);
            Some(GroupReach { first, last, end })
        };
        groups.iter().map(reach).collect()
    }

    /// The batches of some row groups, or of all, with some of the columns.
    pub(crate) fn batches(
        &self,
        wanted: &[&str],
        groups: Option<Vec<usize>>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
        let name = Arc::clone(&self.file);
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone());
        if let Some(groups) = groups {
            builder = builder.with_row_groups(groups);
        }
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.iter().copied());
        let reader = builder
            .with_batch_size(1 << 13)
            .with_projection(mask)
            .build()
            .map_err(|error| damaged(&name, &error))?;
        Ok(reader.map(move |batch| batch.map_err(|error| damaged(&name, &error))))
    }
}

fn damaged(file: &str, reason: &impl std::fmt::Display) -> LakeError {
    LakeError::Damaged {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

/// The batches of a file, with all columns.
pub(crate) fn batches(
    file: &str,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + use<>, LakeError> {
    let all: Vec<&str> = columns::SCHEMA
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    Reader::open(file, bytes)?.batches(&all, None)
}

/// The records of a file.
pub(crate) fn records(file: &str, bytes: Bytes) -> Result<Vec<UsageRecord>, LakeError> {
    let mut records = Vec::new();
    for batch in batches(file, bytes)? {
        records.extend(decoded(file, &batch?)?);
    }
    Ok(records)
}

/// Gives the id of each event in a file ([`is_event`]).
pub(crate) fn each_event(file: &str, bytes: Bytes, mut take: impl FnMut(&str)) -> Result<(), LakeError> {
    for batch in Reader::open(file, bytes)?.batches(&["id"], None)? {
        let batch = batch?;
        let ids = columns::column(&batch, "id").map_err(|reason| damaged(file, &reason))?;
        let ids = ids.as_string::<i32>().iter().flatten();
        ids.filter(|id| is_event(id)).for_each(&mut take);
    }
    Ok(())
}

/// Whether a sender made an id up, so that it could come with any day. What it says of a time means nothing.
pub(crate) fn is_event(id: &str) -> bool {
    id.strip_prefix(events::SOURCE)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a record's id is for the hour that it is in and for no other.
pub(crate) fn is_tied(record: &UsageRecord) -> bool {
    !is_event(&record.id) && record.id.ends_with(&hour_of(record.start).to_string())
}

/// The records of one of its batches.
pub(crate) fn decoded(file: &str, batch: &RecordBatch) -> Result<Vec<UsageRecord>, LakeError> {
    columns::decode(batch).map_err(|reason| damaged(file, &reason))
}
