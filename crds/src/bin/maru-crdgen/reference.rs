//! A page with every kind and every field, for people.

use std::fmt::Write;

use maru_crds::Manifest;
use serde_json::Value;

const TOP: &str = "<!-- Generated from crds/src by `make generate`. Edit the types there, not this file. -->\n
# Kinds and their fields

Of `apiVersion: maru.dev/v1alpha1`. A field with **bold** type must be given. `[]` is each entry of a list, `{}` each value of a map.
`kubectl explain agency.spec` shows the same. Rules that span fields are said by the API server when they are broken; examples of every kind are in
[`crds/examples`](../../crds/examples).\n";

/// The page.
pub(crate) fn page(manifests: &[Manifest]) -> Result<String, std::fmt::Error> {
    let mut page = TOP.to_owned();
    for manifest in manifests {
        let (spec, schema) = (&manifest.definition["spec"], manifest.schema());
        let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        write!(page, "\n## {}\n\n{}\n\n", words(&spec["names"]["kind"]), said(schema))?;
        let short: Vec<String> = spec["names"]["shortNames"]
            .as_array()
            .into_iter()
            .flatten()
            .map(words)
            .collect();
        let place = match spec["scope"].as_str() {
            Some("Cluster") => "for the whole cluster",
            _ => "in a namespace",
        };
        let short: Vec<String> = short.iter().map(|name| format!("`{name}`")).collect();
        writeln!(
            page,
            "`{}`, for short {}; {place}.\n",
            manifest.plural,
            short.join(", ")
        )?;
        writeln!(page, "| field | type | what it is |\n| --- | --- | --- |")?;
        for part in ["spec", "status"] {
            fields(&mut page, part, &schema["properties"][part])?;
        }
    }
    Ok(page)
}

/// A row for each field below `path`.
fn fields(page: &mut String, path: &str, schema: &Value) -> std::fmt::Result {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let kind = kind(field);
        let kind = if required.contains(&name.as_str()) {
            format!("**{kind}**")
        } else {
            kind
        };
        writeln!(page, "| `{path}` | {kind} | {} |", said(field).replace('|', "\\|"))?;
        // Conditions are the same everywhere, and Kubernetes' own.
        if name == "conditions" {
            continue;
        }
        if field["items"].is_object() {
            fields(page, &format!("{path}[]"), &field["items"])?;
        } else if field["additionalProperties"].is_object() {
            fields(page, &format!("{path}{{}}"), &field["additionalProperties"])?;
        } else {
            fields(page, &path, field)?;
        }
    }
    Ok(())
}

/// A field's description on one line, with its default where the words do not name one.
fn said(field: &Value) -> String {
    let description = field["description"].as_str().unwrap_or_default();
    let mut said = description.split_whitespace().collect::<Vec<_>>().join(" ");
    let default = &field["default"];
    if !(default.is_null() || default.is_array() || default.is_object() || said.contains("efault")) {
        let _ = write!(
            said,
            " Default `{}`.",
            default.as_str().map_or_else(|| default.to_string(), str::to_owned)
        );
    }
    said
}

/// What a field holds, with its bounds.
fn kind(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect();
        // Currencies: their list is no help.
        if values.len() > 12 {
            return format!("text, one of {}", values.len());
        }
        return values.join(", ");
    }
    let bounds = |low: &str, high: &str| match (&field[low], &field[high]) {
        (Value::Null, Value::Null) => String::new(),
        (Value::Null, most) => format!(", at most {most}"),
        (least, Value::Null) => format!(", at least {least}"),
        (least, most) => format!(", {least} to {most}"),
    };
    match field["type"].as_str() {
        Some("array") => format!("list{}", bounds("minItems", "maxItems")),
        Some("integer") => format!("whole number{}", bounds("minimum", "maximum")),
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("object") if field["additionalProperties"].is_object() => "map".to_owned(),
        Some(_) => "object".to_owned(),
        None => "whole number or text".to_owned(),
    }
}
