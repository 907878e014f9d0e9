//! What `kubectl apply` makes of the files' own objects, asked of the API server as a dry run.

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::{Map, Value};

use super::files::Manifest;
use super::{PlanArgs, cluster};
use crate::problem::Problem;

/// An object before and after it is applied.
pub(super) struct Becomes {
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

/// The annotation in which `kubectl apply` remembers what it was given last.
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// What becomes of an object when its manifest is applied.
pub(super) async fn apply(client: &Client, manifest: &Manifest, args: &PlanArgs) -> Result<Becomes, Problem> {
    let api = api(client, manifest);
    let before = there(&api, manifest).await?;
    let answer = match &before {
        _ if args.server_side => {
            let params = PatchParams::apply(&args.field_manager).dry_run();
            api.patch(&manifest.name, &params, &Patch::Apply(&manifest.value)).await
        }
        None => {
            let object = manifest.read::<DynamicObject>(&manifest.value)?;
            let params = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            api.create(&params, &object).await
        }
        Some(before) => {
            let patch = three_way(last_applied(before).as_ref(), &manifest.value, before);
            if patch.as_object().is_some_and(Map::is_empty) {
                return Ok(Becomes {
                    after: before.clone(),
                    before: Some(before.clone()),
                });
            }
            let params = PatchParams::default().dry_run();
            api.patch(&manifest.name, &params, &Patch::Merge(&patch)).await
        }
    };
    let after = match answer {
        Ok(after) => serde_json::to_value(after).map_err(Problem::new)?,
        // Its namespace is not there, or not yet: the files were checked, and the agency's part of the plan says the rest.
        Err(Error::Api(status)) if status.code == 404 && before.is_none() => manifest.value.clone(),
        Err(error) => return Err(refused(manifest, error)),
    };
    Ok(Becomes { before, after })
}

/// The object as it is, if it is there.
pub(super) async fn find(client: &Client, manifest: &Manifest) -> Result<Option<Value>, Problem> {
    there(&api(client, manifest), manifest).await
}

async fn there(api: &Api<DynamicObject>, manifest: &Manifest) -> Result<Option<Value>, Problem> {
    let found = api.get_opt(&manifest.name).await.map_err(cluster::trouble)?;
    found.map(serde_json::to_value).transpose().map_err(Problem::new)
}

fn api(client: &Client, manifest: &Manifest) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: maru_crds::GROUP.to_owned(),
        version: maru_crds::VERSION.to_owned(),
        api_version: format!("{}/{}", maru_crds::GROUP, maru_crds::VERSION),
        kind: manifest.kind.clone(),
        plural: manifest.plural.clone(),
    };
    if manifest.namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &manifest.namespace, &resource)
    }
}

fn last_applied(object: &Value) -> Option<Value> {
    serde_json::from_str(object.pointer(LAST_APPLIED)?.as_str()?).ok()
}

/// The merge patch that `kubectl apply` sends for an object of a custom kind: what the file says otherwise than the object,
/// and the end of what the file said last time and says no longer.
fn three_way(last: Option<&Value>, file: &Value, object: &Value) -> Value {
    let mut patch = Map::new();
    for (name, wanted) in file.as_object().into_iter().flatten() {
        let (last, there) = (last.and_then(|last| last.get(name)), object.get(name));
        match there {
            Some(there) if there == wanted => {}
            Some(there @ Value::Object(_)) if wanted.is_object() => {
                let below = three_way(last, wanted, there);
                if below.as_object().is_some_and(|below| !below.is_empty()) {
                    patch.insert(name.clone(), below);
                }
            }
            _ => {
                patch.insert(name.clone(), wanted.clone());
            }
        }
    }
    for (name, _) in last.and_then(Value::as_object).into_iter().flatten() {
        if file.get(name).is_none() && object.get(name).is_some() {
            patch.insert(name.clone(), Value::Null);
        }
    }
    Value::Object(patch)
}

/// The API server's refusal, at the line that it is about.
fn refused(manifest: &Manifest, error: Error) -> Problem {
    match error {
        Error::Api(status) if (400..500).contains(&status.code) && status.code != 401 && status.code != 429 => {
            let causes = status.details.as_ref().map(|details| details.causes.as_slice());
            let field = causes
                .and_then(<[_]>::first)
                .map(|cause| cause.field.clone())
                .filter(|field| !field.is_empty() && field != "<nil>");
            manifest.refuse(field.as_deref().unwrap_or("metadata.name"), &status.message)
        }
        error => cluster::trouble(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn apply_takes_away_what_the_file_said_and_leaves_what_others_did() {
        let last = json!({"spec": {"a": 1, "b": {"c": 2, "d": 3}}});
        let file = json!({"spec": {"a": 1, "b": {"c": 4}}});
        let object = json!({"spec": {"a": 1, "b": {"c": 2, "d": 3, "others": 5}}, "status": {}});
        assert_eq!(
            three_way(Some(&last), &file, &object),
            json!({"spec": {"b": {"c": 4, "d": null}}})
        );
        assert_eq!(three_way(None, &file, &object), json!({"spec": {"b": {"c": 4}}}));
        assert_eq!(three_way(Some(&last), &last, &object), json!({}));
    }
}
