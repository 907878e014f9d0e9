//! What the API server would say of an object, without one: for files that are read before, or in place of, a cluster.
//!
//! Unknown fields are refused, as `kubectl apply` has the API server do. Not checked is what takes an older version of the
//! object (what cannot be changed) and the few rules that only the API server's own CEL understands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use kube_core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use regex::Regex;
use serde_json::{Map, Value};

use crate::{GROUP, Manifest, VERSION, manifests};

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The field, such as `spec.components[0].image`; empty for the object as a whole.
    pub field: String,
    /// What is allowed there, in words.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.field, self.message)
        }
    }
}

/// Why there is no checker.
#[derive(Debug, thiserror::Error)]
pub enum CheckerError {
    /// A definition is no JSON.
    #[error("a definition cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A pattern is no regular expression.
    #[error("a pattern of a definition is no regular expression")]
    Pattern(#[from] regex::Error),
}

/// Knows every kind; made once and asked often.
pub struct Checker {
    kinds: BTreeMap<String, Kind>,
    patterns: BTreeMap<String, Regex>,
    validator: Validator,
}

struct Kind {
    schema: Value,
    rules: CompiledSchema,
}

impl Checker {
    /// A checker for every kind.
    ///
    /// # Errors
    /// When a definition is faulty, which the tests of this room rule out.
    pub fn new() -> Result<Self, CheckerError> {
        let mut kinds = BTreeMap::new();
        let mut patterns = BTreeMap::new();
        for manifest in manifests()? {
            let schema = whole_object(&manifest);
            collect_patterns(&schema, &mut patterns)?;
            let name = manifest.definition["spec"]["names"]["kind"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            kinds.insert(
                name,
                Kind {
                    rules: compile_schema(&schema),
                    schema,
                },
            );
        }
        Ok(Self {
            kinds,
            patterns,
            validator: Validator::new(),
        })
    }

    /// Everything that is wrong with an object of one of the kinds, in the order of fields; nothing: it would be accepted.
    pub fn check(&self, object: &Value) -> Vec<Problem> {
        let kind = match (
            object["apiVersion"].as_str(),
            object["kind"].as_str().and_then(|kind| self.kinds.get(kind)),
        ) {
            (Some(version), Some(kind)) if version == format!("{GROUP}/{VERSION}") => kind,
            _ => {
                let known = self.kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("apiVersion must be {GROUP}/{VERSION} and kind one of {known}");
                return vec![Problem {
                    field: String::new(),
                    message,
                }];
            }
        };
        let mut walk = Walk {
            patterns: &self.patterns,
            problems: BTreeSet::new(),
        };
        walk.value(&kind.schema, object, "");
        // As the API server does it: rules may rely on the shape of what they read.
        if walk.problems.is_empty() {
            self.rules(kind, object, &mut walk.problems);
        }
        walk.problems.into_iter().collect()
    }

    fn rules(&self, kind: &Kind, object: &Value, problems: &mut BTreeSet<Problem>) {
        let Err(errors) = self.validator.validate_compiled(&kind.rules, object, None) else {
            return;
        };
        for error in errors.into_vec() {
            if error.kind != ErrorKind::UnsupportedReference {
                problems.insert(Problem {
                    field: error.field_path,
                    message: error.message,
                });
            }
        }
    }
}

/// The kind's schema with what every object has and no definition says.
fn whole_object(manifest: &Manifest) -> Value {
    let mut schema = manifest.schema().clone();
    let text = serde_json::json!({"type": "string"});
    let metadata = serde_json::json!({
        "type": "object", "required": ["name"], "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"name": text, "namespace": text},
    });
    for (name, property) in [("apiVersion", text.clone()), ("kind", text), ("metadata", metadata)] {
        schema["properties"][name] = property;
    }
    schema["required"] = serde_json::json!(["metadata", "spec"]);
    schema
}

/// Compiles every pattern of a schema once.
fn collect_patterns(schema: &Value, patterns: &mut BTreeMap<String, Regex>) -> Result<(), regex::Error> {
    if let Some(pattern) = schema["pattern"].as_str() {
        patterns.insert(pattern.to_owned(), Regex::new(pattern)?);
    }
    for child in schema["properties"].as_object().into_iter().flat_map(Map::values) {
        collect_patterns(child, patterns)?;
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            collect_patterns(&schema[key], patterns)?;
        }
    }
    Ok(())
}

/// A walk down a schema and an object side by side.
struct Walk<'a> {
    patterns: &'a BTreeMap<String, Regex>,
    problems: BTreeSet<Problem>,
}

impl Walk<'_> {
    fn found(&mut self, field: &str, message: impl Into<String>) {
        self.problems.insert(Problem {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    fn value(&mut self, schema: &Value, value: &Value, field: &str) {
        match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(map)) => self.object(schema, map, field),
            (Some("array"), Value::Array(items)) => self.array(schema, items, field),
            (Some("string"), Value::String(text)) => self.string(schema, text, field),
            (Some("integer"), Value::Number(number)) if number.is_i64() => self.integer(schema, number.as_i64(), field),
            (Some("boolean"), Value::Bool(_)) => {}
            (Some("object"), _) => self.found(field, "must have fields of its own"),
            (Some("array"), _) => self.found(field, "must be a list"),
            (Some("string"), Value::Number(_) | Value::Bool(_)) => {
                self.found(field, "must be a string: put it in quotes");
            }
            (Some("string"), _) => self.found(field, "must be a string"),
            (Some("integer"), _) => self.found(field, "must be a whole number, without quotes"),
            (Some("boolean"), _) => self.found(field, "must be true or false, without quotes"),
            _ => {}
        }
    }

    fn object(&mut self, schema: &Value, map: &Map<String, Value>, field: &str) {
        let properties = schema["properties"].as_object();
        for required in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !map.contains_key(required) {
                self.found(field, format!("{required} must be given"));
            }
        }
        if let Some(most) = schema["maxProperties"].as_u64().filter(|most| map.len() as u64 > *most) {
            self.found(field, format!("must have at most {most} entries"));
        }
        for (name, value) in map {
            let path = if field.is_empty() {
                name.clone()
            } else {
                format!("{field}.{name}")
            };
            match (
                properties.and_then(|known| known.get(name)),
                &schema["additionalProperties"],
            ) {
                (Some(property), _) => self.value(property, value, &path),
                (None, any @ Value::Object(_)) => self.value(any, value, &path),
                (None, _) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                (None, _) => {
                    let known = properties
                        .into_iter()
                        .flat_map(Map::keys)
                        .map(String::as_str)
                        .collect::<Vec<_>>();
                    self.found(&path, format!("unknown field; allowed are {}", known.join(", ")));
                }
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], field: &str) {
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| items.len() as u64 > *most) {
            self.found(field, format!("must have at most {most} entries"));
        }
        if let Some(least) = schema["minItems"]
            .as_u64()
            .filter(|least| (items.len() as u64) < *least)
        {
            self.found(field, format!("must have at least {least} entries"));
        }
        let keys: Vec<_> = schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let unique = !keys.is_empty() || schema["x-kubernetes-list-type"] == "set";
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{field}[{index}]");
            if unique && !seen.insert(identity(&schema["items"], item, &keys)) {
                let by = if keys.is_empty() {
                    "value".to_owned()
                } else {
                    keys.join(" and ")
                };
                self.found(&path, format!("another entry of the list has the same {by}"));
            }
            self.value(&schema["items"], item, &path);
        }
    }

    fn string(&mut self, schema: &Value, text: &str, field: &str) {
        let length = text.chars().count() as u64;
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            self.found(field, format!("must have at most {most} characters"));
        }
        if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
            self.found(field, format!("must have at least {least} character"));
        }
        if let Some(allowed) = schema["enum"]
            .as_array()
            .filter(|allowed| !allowed.iter().any(|one| one == text))
        {
            let words = allowed.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            self.found(field, format!("must be one of {words}"));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && self.patterns.get(pattern).is_some_and(|regex| !regex.is_match(text))
        {
            let words = schema["x-kubernetes-validations"][0]["message"].as_str();
            self.found(
                field,
                words.map_or_else(|| format!("must match {pattern}"), str::to_owned),
            );
        }
        match schema["format"].as_str() {
            Some("date") if !is_date(text) => self.found(field, "must be a date, such as 2026-01-31"),
            Some("date-time") if !is_instant(text) => {
                self.found(
                    field,
                    "must be a date and time with an offset, such as 2026-01-01T00:00:00+09:00",
                );
            }
            _ => {}
        }
    }

    fn integer(&mut self, schema: &Value, number: Option<i64>, field: &str) {
        let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        if let Some(number) = number
            && (least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most))
        {
            let message = match (least, most) {
                (Some(least), Some(most)) => format!("must be from {least} to {most}"),
                (Some(least), None) => format!("must be {least} or more"),
                (None, most) => format!("must be at most {}", most.unwrap_or(i64::MAX)),
            };
            self.found(field, message);
        }
    }
}

/// What must be unique in a list: the keys of an entry, a missing one by its default, or the entry itself.
fn identity(schema: &Value, item: &Value, keys: &[&str]) -> String {
    if keys.is_empty() {
        return item.to_string();
    }
    let value = |key: &&str| {
        item.get(*key)
            .unwrap_or(&schema["properties"][*key]["default"])
            .to_string()
    };
    keys.iter().map(value).collect::<Vec<_>>().join(",")
}

/// Whether the text is a calendar date as RFC 3339 writes it.
fn is_date(text: &str) -> bool {
    shape(text) == "0000-00-00" && text.parse::<jiff::civil::Date>().is_ok()
}

/// Whether the text is an instant as RFC 3339 writes it.
fn is_instant(text: &str) -> bool {
    let shape = shape(text);
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('0') => fraction.trim_start_matches('0'),
        Some(_) => return false,
        None => rest,
    };
    matches!(offset, "Z" | "+00:00" | "-00:00") && text.parse::<jiff::Timestamp>().is_ok()
}

/// The text with every digit as `0`.
fn shape(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect()
}
