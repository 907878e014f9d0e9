//! The definitions keep the API conventions: everything bounded, everything described, no floats.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use maru_crds::Manifest;
use serde_json::Value;

/// Every kind.
fn manifests() -> Vec<Manifest> {
    maru_crds::manifests().unwrap()
}

/// Calls `visit` with every schema below `schema` and the field it stands for.
fn walk(schema: &Value, field: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(field, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(child, &format!("{field}.{name}"), visit);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{field}[]"), visit);
        }
    }
}

/// The fields of all kinds of which `wrong` says something.
fn complaints(wrong: impl Fn(&Value) -> Option<&'static str>) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in manifests() {
        walk(manifest.schema(), &manifest.plural, &mut |field, schema| {
            if let Some(complaint) = wrong(schema) {
                found.push(format!("{field}: {complaint}"));
            }
        });
    }
    found
}

#[test]
fn every_string_list_map_and_number_is_bounded() {
    let found = complaints(|schema| {
        let has = |key: &str| !schema[key].is_null();
        match schema["type"].as_str() {
            Some("string") if !has("maxLength") && !has("enum") && !has("format") => Some("a string without maxLength"),
            Some("array") if !has("maxItems") => Some("a list without maxItems"),
            Some("object") if schema["additionalProperties"].is_object() && !has("maxProperties") => {
                Some("a map without maxProperties")
            }
            Some("integer") if !has("minimum") => Some("a number without minimum"),
            Some("string" | "array" | "object" | "integer" | "boolean") => None,
            Some("number") => Some("a float"),
            _ => Some("no type"),
        }
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn no_number_is_unsigned_and_no_field_takes_null_or_keeps_what_is_unknown() {
    let found = complaints(|schema| {
        if schema["format"]
            .as_str()
            .is_some_and(|format| format.starts_with("uint") || format == "double")
        {
            return Some("an unsigned integer or a float");
        }
        if !schema["nullable"].is_null() {
            return Some("nullable");
        }
        (!schema["x-kubernetes-preserve-unknown-fields"].is_null()).then_some("keeps unknown fields")
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_field_is_described_in_a_sentence() {
    let mut found = Vec::new();
    for manifest in manifests() {
        walk(manifest.schema(), &manifest.plural, &mut |field, schema| {
            for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                let description = child["description"].as_str().unwrap_or_default();
                if !description.ends_with('.') || description.contains('\n') {
                    found.push(format!("{field}.{name}: {description:?}"));
                }
            }
        });
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_enum_value_is_a_word_in_camel_case_or_an_initialism() {
    let found = complaints(|schema| {
        let words = schema["enum"].as_array()?;
        let camel = |word: &Value| {
            let word = word.as_str().unwrap_or_default();
            word.starts_with(|letter: char| letter.is_ascii_uppercase())
                && word.chars().all(|letter| letter.is_ascii_alphanumeric())
        };
        (!words.iter().all(camel)).then_some("not in CamelCase")
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn lists_of_objects_with_a_name_have_map_keys_that_are_required_or_have_a_default() {
    // Subjects have no single key, and two subjects may share a name.
    let lists_without_a_key = [
        "agencies.spec.administrators",
        "agencies.spec.billReaders",
        "ratecards.spec.versions[].items",
    ];
    let mut found = Vec::new();
    for manifest in manifests() {
        walk(manifest.schema(), &manifest.plural, &mut |field, schema| {
            let item = &schema["items"];
            if item["properties"]["name"].is_object()
                && schema["x-kubernetes-list-type"] != "map"
                && !lists_without_a_key.contains(&field)
            {
                found.push(format!("{field}: no map keys"));
            }
            for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                let required = item["required"]
                    .as_array()
                    .is_some_and(|required| required.contains(key));
                if !required && item["properties"][key.as_str().unwrap()]["default"].is_null() {
                    found.push(format!("{field}: key {key} may be missing"));
                }
            }
        });
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_rule_says_in_words_what_is_allowed() {
    let found = complaints(|schema| {
        let rules = schema["x-kubernetes-validations"].as_array()?;
        let worded = |rule: &Value| rule["message"].as_str().is_some_and(|message| message.len() > 20);
        (!rules.iter().all(worded)).then_some("a rule without words")
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_kind_has_a_status_subresource_conditions_a_ready_column_short_names_and_the_category() {
    for manifest in manifests() {
        let version = &manifest.definition["spec"]["versions"][0];
        let kind = &manifest.plural;
        assert!(version["subresources"]["status"].is_object(), "{kind}");
        assert_eq!(version["additionalPrinterColumns"][0]["name"], "Ready", "{kind}");
        let names = &manifest.definition["spec"]["names"];
        assert_eq!(names["categories"], serde_json::json!(["maru"]), "{kind}");
        assert_eq!(names["shortNames"].as_array().unwrap().len(), 1, "{kind}");
        let status = &manifest.schema()["properties"]["status"]["properties"];
        assert_eq!(
            status["conditions"]["x-kubernetes-list-map-keys"],
            serde_json::json!(["type"]),
            "{kind}"
        );
        assert!(
            status["observedGeneration"].is_object() && status["phase"].is_null(),
            "{kind}"
        );
    }
}
