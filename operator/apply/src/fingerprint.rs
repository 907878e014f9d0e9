//! Telling whether an object still says what was applied, without keeping the object.
//!
//! The API server records in `metadata.managedFields` which fields a field manager owns (Server-Side Apply, "Field
//! management"). Cutting the live object down to the fields that Maru owns gives back what was applied, if nobody changed
//! it: whoever edits one of these fields takes its ownership. So eight bytes an object are enough to find drift.

use serde_json::{Map, Value};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A 64-bit hash of the fields that Maru owns of an object. Comparable within one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a manifest as it is wanted. What identifies the object (`apiVersion`, `kind`, name and namespace) is
    /// left out, for nobody owns it.
    pub fn of_wanted(body: &Value) -> Self {
        let mut hasher = DefaultHasher::new();
        hash_top(body, &mut hasher);
        Self(hasher.finish())
    }

    /// The fingerprint of a live object: of those of its fields that `manager` owns.
    pub fn of_live(metadata: &Value, data: &Value, managed_fields: &[ManagedFields<'_>], manager: &str) -> Self {
        let mut owned = Value::Object(Map::new());
        for entry in managed_fields
            .iter()
            .filter(|entry| entry.manager == manager && !entry.subresource)
        {
            let mut live = Map::new();
            live.insert("metadata".to_owned(), metadata.clone());
            if let Value::Object(rest) = data {
                for (name, value) in rest {
                    if name != "status" {
                        live.insert(name.clone(), value.clone());
                    }
                }
            }
            merge(&mut owned, project(&Value::Object(live), entry.fields));
        }
        if let Some(Value::Object(labels)) = owned.pointer_mut("/metadata/labels") {
            labels.remove(NAME_LABEL);
        }
        Self::of_wanted(&owned)
    }
}

/// The label that the API server itself puts on every namespace. Whoever creates the namespace is recorded as its owner.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One entry of `metadata.managedFields`, as far as it is needed here.
#[derive(Clone, Copy, Debug)]
pub struct ManagedFields<'a> {
    /// Who owns the fields.
    pub manager: &'a str,
    /// Whether they were written through a subresource, such as `status` or `scale`.
    pub subresource: bool,
    /// The set of fields in the API server's `FieldsV1` form.
    pub fields: &'a Value,
}

/// Cuts `live` down to the fields of a `FieldsV1` set.
fn project(live: &Value, fields: &Value) -> Value {
    let Value::Object(fields) = fields else {
        return live.clone();
    };
    if fields.is_empty() {
        return live.clone(); // a leaf, or an atomic list or map: all of it is owned
    }
    match live {
        Value::Object(map) => {
            let mut owned = Map::new();
            for (path, below) in fields {
                if let Some(name) = path.strip_prefix("f:")
                    && let Some(value) = map.get(name)
                {
                    owned.insert(name.to_owned(), project(value, below));
                }
            }
            Value::Object(owned)
        }
        Value::Array(items) => Value::Array(project_items(items, fields)),
        scalar => scalar.clone(),
    }
}

/// The items of a list that a set owns, each cut down, in the order in which they stand in the live list.
fn project_items(items: &[Value], fields: &Map<String, Value>) -> Vec<Value> {
    let keyed: Vec<(Value, &Value)> = fields
        .iter()
        .filter_map(|(path, below)| Some((serde_json::from_str(path.strip_prefix("k:")?).ok()?, below)))
        .collect();
    let values: Vec<Value> = fields
        .keys()
        .filter_map(|path| serde_json::from_str(path.strip_prefix("v:")?).ok())
        .collect();
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            if let Some((_, below)) = keyed.iter().find(|(key, _)| has_key(item, key)) {
                return Some(project(item, below));
            }
            if values.contains(item) {
                return Some(item.clone());
            }
            fields.get(&format!("i:{index}")).map(|below| project(item, below))
        })
        .collect()
}

/// Whether a list item is the one that a key such as `{"containerPort":8080,"protocol":"TCP"}` names.
fn has_key(item: &Value, key: &Value) -> bool {
    match key {
        Value::Object(key) => key.iter().all(|(name, value)| item.get(name) == Some(value)),
        _ => false,
    }
}

/// Joins what two entries of the same manager own (one from `Apply`, one from `Update`).
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(there) => merge(there, value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (into @ (Value::Null | Value::Object(_)), from) => *into = from,
        _ => {}
    }
}

fn hash_top(body: &Value, hasher: &mut DefaultHasher) {
    let Value::Object(body) = body else { return };
    for (name, value) in body {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                let Value::Object(metadata) = value else { continue };
                "metadata".hash(hasher);
                let owned: Vec<_> = metadata
                    .iter()
                    .filter(|(name, _)| matches!(name.as_str(), "labels" | "annotations" | "finalizers"))
                    .collect();
                hash_fields(&owned, hasher);
            }
            _ => {
                name.hash(hasher);
                hash_value(value, hasher);
            }
        }
    }
}

fn hash_fields(fields: &[(&String, &Value)], hasher: &mut DefaultHasher) {
    for (name, value) in fields {
        name.hash(hasher);
        hash_value(value, hasher);
    }
}

/// Keys are visited in the map's own order, which is sorted (`serde_json` without `preserve_order`).
fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0u8.hash(hasher),
        Value::Bool(flag) => (1u8, flag).hash(hasher),
        Value::Number(number) => (2u8, number).hash(hasher),
        Value::String(text) => (3u8, text).hash(hasher),
        Value::Array(items) => {
            (4u8, items.len()).hash(hasher);
            for item in items {
                hash_value(item, hasher);
            }
        }
        Value::Object(map) => {
            (5u8, map.len()).hash(hasher);
            for (name, value) in map {
                name.hash(hasher);
                hash_value(value, hasher);
            }
        }
    }
}
