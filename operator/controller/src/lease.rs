//! The lease of the leader: it saves work, and nothing that is right depends on it.

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use kube_lease_manager::{DurationSeconds, LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

/// How long a free lease is left to the manager that already asks for it, before it is asked anew.
const FIRST_ASK: Duration = Duration::from_secs(1);

/// The lease of the leader.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who holds it while this replica leads: the pod's name.
    pub identity: String,
    /// How long it holds after it was last renewed, in seconds, from 6 on: this long nobody leads after a leader was killed.
    pub duration_seconds: DurationSeconds,
}

impl Lease {
    /// How long a lease holds by default, in seconds.
    pub const DURATION_SECONDS: DurationSeconds = 10;

    async fn ask(&self, client: &Client) -> Result<LeaseManager, LeaseManagerError> {
        LeaseManagerBuilder::new(client.clone(), self.name.clone())
            .with_namespace(self.namespace.clone())
            .with_identity(self.identity.clone())
            .with_duration(self.duration_seconds)
            .with_grace(4)
            .build()
            .await
    }

    /// Calls `lead` whenever this replica holds the lease, with a token that is cancelled when it is lost, until `shutdown`. Then gives the lease
    /// back.
    ///
    /// # Errors
    /// Where the lease cannot be read or made.
    pub(crate) async fn follow<F: Future<Output = ()> + Send>(
        &self,
        client: &Client,
        shutdown: CancellationToken,
        lead: impl Fn(CancellationToken) -> F + Sync,
    ) -> Result<(), LeaseManagerError> {
        while !shutdown.is_cancelled() {
            let (mut held, task) = self.ask(client).await?.watch().await;
            self.hold(client, &mut held, &shutdown, &lead).await;
            drop(held);
            // The task gives the lease back when its channel is closed, so that the other replica need not wait for its end.
            if let Ok(Ok(manager)) = task.await
                && let Err(error) = manager.release().await
            {
                tracing::warn!(%error, "the lease was not given back");
            }
        }
        Ok(())
    }

    /// Leads while the lease is `held`; returns at `shutdown`, and when the lease should be asked for anew.
    async fn hold<F: Future<Output = ()> + Send>(
        &self,
        client: &Client,
        held: &mut Receiver<bool>,
        shutdown: &CancellationToken,
        lead: &(impl Fn(CancellationToken) -> F + Sync),
    ) {
        loop {
            if *held.borrow_and_update() {
                let lost = shutdown.child_token();
                let mut leading = pin!(lead(lost.clone()));
                loop {
                    tokio::select! {
                        () = &mut leading => break,
                        changed = held.changed() => if changed.is_err() || !*held.borrow_and_update() { lost.cancel() },
                    }
                }
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changed = held.changed() => if changed.is_err() { return },
                () = self.freed(client) => return,
            }
        }
    }

    /// Returns when nobody holds the lease any longer. The manager sleeps until the lease would have expired, also where its holder gave it back.
    async fn freed(&self, client: &Client) {
        let leases: Api<LeaseObject> = Api::namespaced(client.clone(), &self.namespace);
        let mut seen = pin!(watcher::watch_object(leases, &self.name).default_backoff());
        let mut was_held = false;
        while let Some(lease) = seen.next().await {
            let holder = match lease {
                Ok(lease) => lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity),
                Err(error) => {
                    tracing::debug!(%error, "the lease cannot be watched");
                    continue;
                }
            };
            match holder {
                Some(_) => was_held = true,
                None if was_held => return,
                None => return tokio::time::sleep(FIRST_ASK).await,
            }
        }
        std::future::pending::<()>().await;
    }
}
