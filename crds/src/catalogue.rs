//! How a dataset is found by others, in the terms of DCAT.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, data_bounds, shared::LocalizedText};

/// An entry of a data catalogue (DCAT 3). The term that each field stands for is in its description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Catalogue {
    /// The dataset's title in each language (`dct:title`), at least one.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".into()]))]
    pub title: Vec<LocalizedText>,
    /// What it holds, in each language (`dct:description`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".into()]))]
    pub description: Vec<LocalizedText>,
    /// Who publishes it (`dct:publisher`). None given: the agency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::text")]
    pub publisher: Option<String>,
    /// The theme it belongs to (`dcat:theme`), an identifier of the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_bounds::iri")]
    pub theme: Option<String>,
    /// Words to find it by (`dcat:keyword`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::words")]
    pub keyword: Vec<String>,
    /// The licence (`dct:license`), an identifier of the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_bounds::iri")]
    pub license: Option<String>,
    /// How often it changes (`dct:accrualPeriodicity`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accrual_periodicity: Option<Frequency>,
}

/// How often a dataset changes, by the words of the Dublin Core's collection description terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Frequency {
    /// All the time.
    Continuous,
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Every three months.
    Quarterly,
    /// Every year.
    Annual,
    /// At no set times.
    Irregular,
}
