//! The custom resource definitions as the API server gets them, from the same types that the other rooms read.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::{Map, Value};

use crate::{
    Agency, AgencySystem, Bill, BillingRun, CostPool, DataGrant, DatabaseServer, Dataset, RateCard, SystemSubscription,
};

/// One kind's definition.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The plural in lower case, which names its files.
    pub plural: String,
    /// The whole definition, its keys in order.
    pub definition: Value,
}

impl Manifest {
    /// The schema of the objects: `openAPIV3Schema` of the one version.
    pub fn schema(&self) -> &Value {
        &self.definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }

    /// The definition with `helm.sh/resource-policy: keep`: uninstalling the chart leaves it, and with it every object.
    #[must_use]
    pub fn kept_by_helm(mut self) -> Self {
        self.definition["metadata"]["annotations"]["helm.sh/resource-policy"] = Value::from("keep");
        self.definition = sorted(self.definition);
        self
    }
}

/// Every kind that is installed, in the order in which an installation needs them.
///
/// # Errors
/// When a definition is no JSON, which its types rule out.
pub fn manifests() -> Result<Vec<Manifest>, serde_json::Error> {
    [
        Agency::crd(),
        AgencySystem::crd(),
        SystemSubscription::crd(),
        DatabaseServer::crd(),
        Dataset::crd(),
        DataGrant::crd(),
        RateCard::crd(),
        CostPool::crd(),
        BillingRun::crd(),
        Bill::crd(),
    ]
    .iter()
    .map(manifest)
    .collect()
}

fn manifest(definition: &CustomResourceDefinition) -> Result<Manifest, serde_json::Error> {
    let plural = definition.spec.names.plural.clone();
    let mut definition = serde_json::to_value(definition)?;
    tidy_schema(&mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    Ok(Manifest {
        plural,
        definition: sorted(definition),
    })
}

/// Brings a schema into the shape that reviewers and tools expect: paragraphs on one line, whole numbers as such, and no
/// `nullable`, since a missing field is how nothing is said.
fn tidy_schema(schema: &mut Value) {
    let Value::Object(node) = schema else { return };
    node.remove("nullable");
    if let Some(Value::String(description)) = node.get_mut("description") {
        *description = description
            .split("\n\n")
            .map(|text| text.replace('\n', " "))
            .collect::<Vec<_>>()
            .join("\n\n");
    }
    for bound in ["minimum", "maximum"] {
        if let Some(whole) = node.get(bound).and_then(whole_number) {
            node.insert(bound.to_owned(), Value::from(whole));
        }
    }
    for (key, child) in node.iter_mut() {
        match (key.as_str(), child) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(tidy_schema),
            ("items" | "additionalProperties", child) => tidy_schema(child),
            _ => {}
        }
    }
}

/// A bound, which the API types carry as a float, as the whole number that it was written as.
fn whole_number(value: &Value) -> Option<i64> {
    value.to_string().trim_end_matches(".0").parse().ok()
}

/// The same value with all keys in order, whichever map `serde_json` was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
