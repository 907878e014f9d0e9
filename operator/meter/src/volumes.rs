//! Provisioned storage from the volume claims themselves: their capacity, from the moment they were made until they are gone.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::amounts::{Amounts, HeldMeter, Observed};
use crate::pods::{GIB, of_metadata};
use crate::quantity::{self, QuantityError};

/// A capacity that cannot be read, so that the claim counts with nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("volume claim {claim}: capacity: {error}")]
pub struct VolumeError {
    /// `namespace/name`.
    pub claim: String,
    /// What is wrong with it.
    pub error: QuantityError,
}

/// What a claim says of itself. It holds nothing before a volume is bound to it, and then counts from when it was made: the API server
/// does not say when the volume came, and provisioning takes moments.
pub fn observe(claim: &PersistentVolumeClaim) -> (Observed, Option<VolumeError>) {
    let observed = of_metadata(&claim.metadata);
    let status = claim.status.as_ref();
    let bound = status.and_then(|status| status.phase.as_deref()) == Some("Bound");
    let capacity = status
        .and_then(|status| status.capacity.as_ref())
        .and_then(|capacity| capacity.get("storage"));
    let asked = || {
        let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
        requests.get("storage")
    };
    let (amounts, error) = match capacity.or_else(asked).map(|text| quantity::parse(&text.0)) {
        None => (Amounts::default(), None),
        Some(Ok(bytes)) => (Amounts::of([(HeldMeter::Storage, bytes.over(GIB))]), None),
        Some(Err(error)) => {
            let claim = format!("{}/{}", observed.namespace, observed.name);
            (Amounts::default(), Some(VolumeError { claim, error }))
        }
    };
    let held = observed.created.filter(|_| bound);
    (
        Observed {
            held,
            amounts,
            ..observed
        },
        error,
    )
}
