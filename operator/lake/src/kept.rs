//! Small things that writers keep beside the table, such as where a watch is to be taken up again. They are no usage and no reader
//! of the table sees them: its formats pass over names that begin with an underscore, and so does vacuum.

use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutPayload};

use crate::{Lake, LakeError};

const FOLDER: &str = "_kept";
/// The least that compresses well.
const COMPRESSION: i32 = 1;

impl Lake {
    /// Keeps bytes under a name, in place of what was there; durable and whole when this returns.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), LakeError> {
        let path = path(name)?;
        let packed = zstd::encode_all(bytes, COMPRESSION).map_err(|error| LakeError::Unwritable(error.to_string()))?;
        self.wait(async {
            let put = self.table.store().put(&path, PutPayload::from(packed)).await;
            put.map(|_| ()).map_err(|error| failed(&path, error))
        })
    }

    /// What is kept under a name; nothing where nothing is.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, LakeError> {
        let path = path(name)?;
        let packed = self.wait(async {
            let got = match self.table.store().get(&path).await {
                Err(Error::NotFound { .. }) => return Ok(None),
                got => got.map_err(|error| failed(&path, error))?,
            };
            got.bytes().await.map(Some).map_err(|error| failed(&path, error))
        })?;
        let unpack = |packed: bytes::Bytes| {
            zstd::decode_all(&packed[..]).map_err(|error| LakeError::Damaged {
                file: path.to_string(),
                reason: error.to_string(),
            })
        };
        packed.map(unpack).transpose()
    }

    /// Keeps nothing more under a name.
    pub fn forget(&self, name: &str) -> Result<(), LakeError> {
        let path = path(name)?;
        self.wait(async {
            match self.table.store().delete(&path).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(failed(&path, error)),
            }
        })
    }
}

fn path(name: &str) -> Result<Path, LakeError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(LakeError::Name(name.to_owned()));
    }
    Ok(Path::from(format!("{FOLDER}/{name}")))
}

fn failed(path: &Path, error: Error) -> LakeError {
    LakeError::Store {
        file: path.to_string(),
        error: Box::new(error),
    }
}
