//! What may be deleted, and when. No tenant's data goes by a mistake (DESIGN.md §2, rule 5).

use crate::facts::{NamespaceFacts, VolumeFacts};
use crate::object::{ObjectKey, ObjectKind};
use crate::plan::{Finalizer, Plan, Problem};
use crate::reason::Reason;
use maru_crds::{DeletionPolicy, NamespaceStatus};
use std::collections::{BTreeMap, BTreeSet};

/// How many names a message lists before it says how many more there are.
const NAMES_IN_A_MESSAGE: usize = 10;

/// Whether data goes with its owner: the spec says so now, and said so before the delete, as the status recorded.
pub(crate) fn lets_data_go(spec: DeletionPolicy, recorded: Option<DeletionPolicy>) -> bool {
    spec == DeletionPolicy::Delete && recorded == Some(DeletionPolicy::Delete)
}

/// What goes with an agency that lets its data go: the namespaces that its status recorded, by UID, all of them or, as long as
/// anything in one of them must be kept, none.
pub(crate) fn namespaces_go(
    plan: &mut Plan,
    agency: &str,
    recorded: &[NamespaceStatus],
    present: &BTreeMap<String, NamespaceFacts>,
) {
    let ours: Vec<(&NamespaceStatus, &NamespaceFacts)> = recorded
        .iter()
        .filter_map(|known| Some((known, present.get(&known.name)?)))
        .filter(|(known, there)| known.uid == there.uid && there.agency.as_deref().is_none_or(|label| label == agency))
        .collect();
    if ours.is_empty() {
        plan.finalizer = Finalizer::Release;
        return;
    }
    plan.finalizer = Finalizer::Wait;
    let kept: BTreeSet<&str> = ours
        .iter()
        .flat_map(|(_, there)| &there.retained)
        .map(String::as_str)
        .collect();
    if !kept.is_empty() {
        let message = format!(
            "nothing is deleted while these must be kept: {}; delete them, or set deletionPolicy: Delete on the systems \
             before they are deleted",
            listed(kept.iter().copied())
        );
        plan.problems.push(Problem::new(Reason::DeletionBlocked, message));
        return;
    }
    for (known, there) in ours {
        match &there.terminating {
            Some(blocked) if !blocked.is_empty() => {
                let message = format!("namespace {} is going; the API server says: {blocked}", known.name);
                plan.problems.push(Problem::new(Reason::Deleting, message));
            }
            Some(_) => {}
            None => {
                let key = ObjectKey::new(ObjectKind::Namespace, "", known.name.clone());
                plan.uids.insert(key.clone(), there.uid.clone());
                plan.sweep.push(key);
            }
        }
    }
}

/// What goes with a system: everything but its volumes, and the volumes too where it lets its data go.
pub(crate) fn objects_go(
    plan: &mut Plan,
    owned: &BTreeSet<ObjectKey>,
    volumes: &BTreeMap<String, VolumeFacts>,
    data_goes: bool,
) {
    let goes = owned
        .iter()
        .filter(|key| data_goes || !key.kind.holds_tenant_data())
        .cloned()
        .collect();
    sweep(plan, goes, volumes);
    plan.finalizer = if plan.sweep.is_empty() {
        Finalizer::Release
    } else {
        Finalizer::Wait
    };
}

/// Puts objects into the sweep in the order to delete them, with the UIDs of those that hold data. One that holds data and
/// whose UID is not known is left alone.
pub(crate) fn sweep(plan: &mut Plan, goes: Vec<ObjectKey>, volumes: &BTreeMap<String, VolumeFacts>) {
    for key in goes {
        if key.kind.holds_tenant_data() {
            let Some(volume) = volumes.get(&key.name) else { continue };
            plan.uids.insert(key.clone(), volume.uid.clone());
        }
        plan.sweep.push(key);
    }
    plan.sweep.sort_by(|one, other| other.cmp(one));
}

/// Names for a message: the first ones, and how many more.
pub(crate) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_IN_A_MESSAGE);
    let first: Vec<&str> = names.take(NAMES_IN_A_MESSAGE).collect();
    if more == 0 {
        first.join(", ")
    } else {
        format!("{} and {more} more", first.join(", "))
    }
}
