//! What was refused because its id is known with other content: it is kept beside the table, where an auditor finds it. It is no usage,
//! and no reader of the table sees it.

use futures::TryStreamExt;
use jiff::Timestamp;
use maru_meter::UsageRecord;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Lake, LakeError, columns};

const FOLDER: &str = "_refused";

/// A record that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// When that was for the first time.
    pub refused_at: Timestamp,
    /// What it said. What the table holds under its id counts.
    pub record: UsageRecord,
}

impl Lake {
    /// Everything that was ever refused for contradicting what was known, in the order of time.
    pub fn refused(&self) -> Result<Vec<Refused>, LakeError> {
        let mut all = self.wait(async {
            let store = self.table.store();
            let folder = Path::from(FOLDER);
            let listed = store.list(Some(&folder));
            let listed: Vec<_> = listed.try_collect().await.map_err(|error| failed(&folder, error))?;
            let mut all = Vec::new();
            for file in listed {
                let path = file.location;
                let got = store.get(&path).await.map_err(|error| failed(&path, error))?;
                let bytes = got.bytes().await.map_err(|error| failed(&path, error))?;
                let refused: Refused = serde_json::from_slice(&bytes).map_err(|error| LakeError::Damaged {
                    file: path.to_string(),
                    reason: error.to_string(),
                })?;
                all.push(refused);
            }
            Ok(all)
        })?;
        all.sort_by(|a, b| (a.refused_at, &a.record.id).cmp(&(b.refused_at, &b.record.id)));
        Ok(all)
    }

    /// Keeps what was refused. The same again changes nothing, however often it is sent.
    pub(crate) fn keep_refused(&self, records: &[UsageRecord]) -> Result<(), LakeError> {
        let refused_at = Timestamp::now();
        for record in records {
            let unwritable = |error: serde_json::Error| LakeError::Unwritable(error.to_string());
            let name = Sha256::digest(serde_json::to_vec(record).map_err(unwritable)?);
            let name = name
                .iter()
                .take(16)
                .fold(0u128, |name, byte| (name << 8) | u128::from(*byte));
            let day = columns::day_of(record.start);
            let path = Path::from(format!("{FOLDER}/{}={day}/{name:032x}.json", columns::DAY));
            let record = record.clone();
            let refused = serde_json::to_vec(&Refused { refused_at, record }).map_err(unwritable)?;
            self.wait(async {
                let options = PutOptions::from(PutMode::Create);
                match self
                    .table
                    .store()
                    .put_opts(&path, PutPayload::from(refused), options)
                    .await
                {
                    Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
                    Err(error) => Err(failed(&path, error)),
                }
            })?;
        }
        Ok(())
    }
}

fn failed(path: &Path, error: Error) -> LakeError {
    LakeError::Store {
        file: path.to_string(),
        error: Box::new(error),
    }
}
