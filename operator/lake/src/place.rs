//! Where a lake is: a directory or an object store.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{ObjectStore, Result, RetryConfig};
use url::Url;

use crate::LakeError;
use crate::directory::SyncedDirectory;

/// How often a request to a store is made again, and until when.
const RETRIES: usize = 5;
const GIVEN_UP_AFTER: Duration = Duration::from_secs(15);

/// A store, seen from its own root, and the lake's URL in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) url: Url,
}

impl Place {
    /// A directory, which is made when it is not there, or a URL. A store's keys and endpoint come from the environment, in the names
    /// that its own tools use, such as `AWS_ENDPOINT_URL`.
    pub(crate) fn of(location: &str) -> std::result::Result<Self, LakeError> {
        let refused = |reason: String| LakeError::Location {
            location: location.to_owned(),
            reason,
        };
        if location.contains("://") {
            let mut url = Url::parse(location).map_err(|error| refused(error.to_string()))?;
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            let store = store_at(&url).map_err(|error| refused(error.to_string()))?;
            return Ok(Self { store, url });
        }
        fs::create_dir_all(location).map_err(|error| refused(error.to_string()))?;
        let directory = fs::canonicalize(location).map_err(|error| refused(error.to_string()))?;
        let url = Url::from_directory_path(&directory).map_err(|()| refused("is no absolute path".to_owned()))?;
        Ok(Self {
            store: Arc::new(SyncedDirectory::default()),
            url,
        })
    }
}

/// The store of a URL, from its root. One that does not answer is given up before those who wait for it are.
fn store_at(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let settings = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
    if !matches!(url.scheme(), "s3" | "s3a") {
        let (store, _) = object_store::parse_url_opts(url, settings)?;
        return Ok(store.into());
    }
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: GIVEN_UP_AFTER,
        ..RetryConfig::default()
    };
    let known = settings.filter_map(|(name, value)| Some((name.parse::<AmazonS3ConfigKey>().ok()?, value)));
    let builder = known.fold(
        AmazonS3Builder::new().with_url(url.as_str()),
        |builder, (key, value)| builder.with_config(key, value),
    );
    Ok(Arc::new(builder.with_retry(retry).build()?))
}
