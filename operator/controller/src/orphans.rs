//! A turn of a system that is not there any more and has left something.

use crate::Shared;
use crate::queue::Turn;
use crate::reconcile::{ReconcileError, Reconciler, standing_kind, turn_after};
use kube::api::Api;
use maru_crds::AgencySystem;
use maru_desire::{Owner, SystemKey, plan_orphans};

impl Reconciler {
    /// Takes away what is left of a system, once the API server says itself that it is not there and that its kind is.
    pub(crate) async fn orphans(
        &self,
        shared: &Shared,
        owner: &Owner,
        key: &SystemKey,
    ) -> Result<Turn, ReconcileError> {
        let left = shared.world.orphans(owner);
        if left.is_empty() {
            return Ok(Turn::Done);
        }
        let systems = Api::<AgencySystem>::namespaced(self.client.clone(), &key.namespace);
        let found = systems.get_opt(&key.name).await;
        if let Some(found) = found.map_err(ReconcileError::primary("it could not be read again"))? {
            shared.enqueue(shared.world.wrote_system(found));
            return Ok(Turn::Done);
        }
        let kind = standing_kind(&self.client, "agencysystems.maru.dev").await?;
        let Some(kind_made) = kind.and_then(|kind| kind.metadata.creation_timestamp) else {
            tracing::info!(
                objects = left.len(),
                "the kind is not there; what its systems stand for goes on"
            );
            return Ok(Turn::Done);
        };
        let made = self.applier.made(&left, owner.field_manager()).await?;
        let (plan, wait) = plan_orphans(owner.clone(), &made, kind_made.0, jiff::Timestamp::now());
        if !plan.sweep.is_empty() {
            tracing::warn!(
                objects = plan.sweep.len(),
                "the system is gone and what is left of it is taken away"
            );
        }
        let applied = self.applier.carry_out(&plan, &shared.world).await?;
        shared.metrics.applied(&applied);
        Ok(match (wait, turn_after(&applied, plan.finalizer, None)) {
            (Some(wait), Turn::Done | Turn::Again(_)) => Turn::Again(wait),
            (None, Turn::Again(_)) => Turn::Done,
            (_, turn) => turn,
        })
    }
}
