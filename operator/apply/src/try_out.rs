//! Asking the API server what it would make of an object, with nothing stored.

use crate::carry_out::{Applier, is_ours, refused_or_failed, taken};
use crate::error::ApplyError;
use kube::api::{Patch, PatchParams};
use maru_desire::{Outcome, WantedObject};
use serde_json::Value;

/// What the API server would make of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    /// It would be made.
    Created,
    /// It would be made different; both as the API server writes them.
    Changed {
        /// As it is.
        before: Value,
        /// As it would be.
        after: Value,
    },
    /// It would be refused.
    Refused {
        /// The API server's reason, or `NameTaken` or `Terminating`.
        reason: String,
        /// What is wrong.
        message: String,
    },
}

impl Applier {
    /// Sends the object as a dry run: everything is checked and defaulted as for a real write.
    ///
    /// # Errors
    /// Where the API server cannot be reached, is overloaded or fails.
    pub async fn try_out(&self, wanted: &WantedObject, manager: &str) -> Result<Tried, ApplyError> {
        let key = &wanted.key;
        let failed = |source| ApplyError::Unavailable {
            key: key.clone(),
            source: Box::new(source),
        };
        let api = self.api(key);
        let found = api.get_opt(&key.name).await.map_err(failed)?;
        if found.as_ref().is_some_and(|found| !is_ours(found, manager)) && !Self::adopts(wanted) {
            return Ok(refusal("NameTaken", &taken(key)));
        }
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::apply(manager).force()
        };
        match api.patch(&key.name, &params, &Patch::Apply(&wanted.body)).await {
            Ok(after) => Ok(match found {
                None => Tried::Created,
                Some(before) => Tried::Changed {
                    before: value(&before, key)?,
                    after: value(&after, key)?,
                },
            }),
            Err(error) => match refused_or_failed(key, error)? {
                Outcome::Refused { reason, message } => Ok(Tried::Refused { reason, message }),
                Outcome::Unchanged | Outcome::Written | Outcome::Deleted | Outcome::Skipped => Ok(Tried::Created),
            },
        }
    }

    /// Namespaces are handed over by a label before Maru writes to them for the first time: the plan has judged that.
    fn adopts(wanted: &WantedObject) -> bool {
        wanted.key.kind == maru_desire::ObjectKind::Namespace
    }
}

fn refusal(reason: &str, message: &str) -> Tried {
    Tried::Refused {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn value(object: &kube::core::DynamicObject, key: &maru_desire::ObjectKey) -> Result<Value, ApplyError> {
    serde_json::to_value(object).map_err(|source| ApplyError::Unavailable {
        key: key.clone(),
        source: Box::new(kube::Error::SerdeError(source)),
    })
}
