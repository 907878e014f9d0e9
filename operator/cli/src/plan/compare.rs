//! Two states of an object, field by field.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Field {
    /// Its path, items of lists by their name where they have one: `spec.components[web].image`.
    #[serde(rename = "field")]
    pub(super) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Value>,
}

/// What differs between two states that an API server gave; what it keeps for itself and the status are left out.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    compare("", Some(&bare(before)), Some(&bare(after)), &mut fields);
    fields
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn bare(object: &Value) -> Value {
    let Value::Object(object) = object else {
        return object.clone();
    };
    let mut bare = object.clone();
    for name in ["apiVersion", "kind", "status"] {
        bare.remove(name);
    }
    if let Some(Value::Object(metadata)) = bare.get_mut("metadata") {
        metadata.retain(|name, _| matches!(name.as_str(), "labels" | "annotations" | "finalizers"));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(LAST_APPLIED);
        }
        metadata.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    }
    Value::Object(bare)
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<Field>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for name in names(before, after) {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                compare(&path, before.get(name), after.get(name), fields);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            let keys: Vec<String> = if has_names(before) && has_names(after) {
                let all: BTreeSet<&str> = before.iter().chain(after).filter_map(name_of).collect();
                all.into_iter().map(str::to_owned).collect()
            } else {
                (0..before.len().max(after.len()))
                    .map(|index| index.to_string())
                    .collect()
            };
            for key in keys {
                compare(&format!("{path}[{key}]"), item(before, &key), item(after, &key), fields);
            }
        }
        (before, after) => fields.push(Field {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn names<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    before.keys().chain(after.keys()).collect()
}

fn name_of(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn has_names(items: &[Value]) -> bool {
    let names: BTreeSet<&str> = items.iter().filter_map(name_of).collect();
    names.len() == items.len()
}

/// The item of a name, or, in a list of things without names, at an index.
fn item<'a>(items: &'a [Value], key: &str) -> Option<&'a Value> {
    if has_names(items) && !items.is_empty() {
        return items.iter().find(|item| name_of(item) == Some(key));
    }
    items.get(key.parse::<usize>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let text = |value: Option<Value>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        differences(before, after)
            .into_iter()
            .map(|field| format!("{} {} {}", field.path, text(field.before), text(field.after)))
            .collect()
    }

    #[test]
    fn a_field_is_found_by_the_names_on_the_way_to_it_and_not_by_its_place() {
        let before = json!({"spec": {"components": [{"name": "web", "image": "a"}, {"name": "api", "image": "b"}], "args": ["x"]}});
        let after = json!({"spec": {"components": [{"name": "api", "image": "c"}, {"name": "web", "image": "a"}], "args": ["x", "y"]}});
        assert_eq!(
            told(&before, &after),
            [r#"spec.args[1] - "y""#, r#"spec.components[api].image "b" "c""#]
        );
    }

    #[test]
    fn what_the_api_server_keeps_for_itself_is_no_difference() {
        let before =
            json!({"metadata": {"resourceVersion": "1", "annotations": {LAST_APPLIED: "{}"}}, "status": {"a": 1}});
        let after = json!({"metadata": {"resourceVersion": "2"}, "status": {"a": 2}});
        assert_eq!(told(&before, &after), [""; 0]);
    }
}
