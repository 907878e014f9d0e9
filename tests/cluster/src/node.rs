//! The node that runs real containers: containerd, runc and kubelet.

/// The name of the real node.
pub(crate) const NAME: &str = "real-0";

use k8s_openapi::api::core::v1::Node;

/// Whether pods can be placed on a node: it says that it is ready, and the taints that new nodes carry are gone.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let new = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let new = new.into_iter().any(|taint| taint.key.starts_with("node.kubernetes.io/"));
    ready && !new
}
