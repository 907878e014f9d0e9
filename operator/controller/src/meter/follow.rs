//! Following a kind: a list once, then a watch that is taken up again where it ended, so that nothing is missed as long as the API
//! server still knows what happened since.

use crate::listing::PAGE;
use futures::StreamExt;
use kube::Resource;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::mpsc;

/// News that may wait to be taken in.
const WAITING: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is heard of a kind.
pub(super) enum News<K> {
    /// A list begins, because what happened since is no longer known.
    Begin,
    /// It names an object.
    Listed(Box<K>),
    /// It is complete, as of a version.
    Complete(String),
    /// An object was made or changed.
    Applied(Box<K>),
    /// An object is gone.
    Deleted(Box<K>),
    /// Everything up to a version was said.
    Version(String),
    /// The watch broke off and goes on where it was: what comes may be some time ago.
    Interrupted(String),
}

/// Why a kind could not be followed for a moment.
enum Ending {
    /// What happened since the version is no longer known.
    TooOld,
    /// Something else; it goes on where it was.
    Failed(String),
    /// The watch's time was over.
    Over,
    /// Nobody listens any more.
    Unheard,
}

/// Follows a kind from a version, or from a list, until nobody listens any more.
pub(super) fn follow<K>(api: Api<K>, from: Option<String>) -> mpsc::Receiver<News<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut follower = Follower {
            api,
            sender,
            version: from,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let ending = match follower.version.clone() {
                None => follower.list().await,
                Some(version) => follower.watch(version).await,
            };
            match ending {
                Ok(()) | Err(Ending::Over) => pause = FIRST_PAUSE,
                Err(Ending::TooOld) => follower.version = None,
                Err(Ending::Unheard) => return,
                Err(Ending::Failed(error)) => {
                    if follower.sender.send(News::Interrupted(error)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    });
    receiver
}

struct Follower<K> {
    api: Api<K>,
    sender: mpsc::Sender<News<K>>,
    version: Option<String>,
}

impl<K> Follower<K>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    async fn say(&self, news: News<K>) -> Result<(), Ending> {
        self.sender.send(news).await.map_err(|_| Ending::Unheard)
    }

    /// A list as of one version, a page at a time.
    async fn list(&mut self) -> Result<(), Ending> {
        let mut params = ListParams::default().limit(PAGE);
        let mut begun = false;
        loop {
            let page = self.api.list(&params).await.map_err(ending)?;
            if !begun {
                self.say(News::Begin).await?;
                begun = true;
            }
            for object in page.items {
                self.say(News::Listed(Box::new(object))).await?;
            }
            match page.metadata.continue_ {
                Some(next) if !next.is_empty() => params = params.continue_token(&next),
                _ => {
                    let version = page.metadata.resource_version.unwrap_or_default();
                    self.version = Some(version.clone());
                    return self.say(News::Complete(version)).await;
                }
            }
        }
    }

    async fn watch(&mut self, from: String) -> Result<(), Ending> {
        let events = self.api.watch(&WatchParams::default(), &from).await.map_err(ending)?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let (news, version) = match event.map_err(ending)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let version = object.meta().resource_version.clone();
                    (Some(News::Applied(Box::new(object))), version)
                }
                WatchEvent::Deleted(object) => {
                    let version = object.meta().resource_version.clone();
                    (Some(News::Deleted(Box::new(object))), version)
                }
                WatchEvent::Bookmark(bookmark) => (None, Some(bookmark.metadata.resource_version)),
                WatchEvent::Error(status) => return Err(ending(kube::Error::Api(status))),
            };
            if let Some(news) = news {
                self.say(news).await?;
            }
            if let Some(version) = version {
                self.version = Some(version.clone());
                self.say(News::Version(version)).await?;
            }
        }
        Err(Ending::Over)
    }
}

fn ending(error: kube::Error) -> Ending {
    match error {
        kube::Error::Api(status) if status.code == 410 => Ending::TooOld,
        error => Ending::Failed(error.to_string()),
    }
}
