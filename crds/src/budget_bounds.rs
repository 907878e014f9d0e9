//! What the figures of a budget may look like.

use crate::bounds::string;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A decimal of either sign.
pub(crate) fn signed_decimal(_: &mut SchemaGenerator) -> Schema {
    string(
        29,
        r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$",
        "a decimal in quotes, such as \"-1350.20\": at most 18 digits before the point and 9 after it, \
         without exponent or separators",
    )
}

/// A part of a budget, more than 0 and less than 10.
pub(crate) fn threshold(_: &mut SchemaGenerator) -> Schema {
    string(
        11,
        r"^([1-9](\.[0-9]{1,9})?|0\.[0-9]{0,8}[1-9])$",
        "a part of the budget as a decimal in quotes, more than 0 and less than 10, such as \"0.8\" for 80 %",
    )
}

/// Parts of a budget, each once.
pub(crate) fn thresholds(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 10,
        "x-kubernetes-list-type": "set",
        "items": threshold(generator),
    })
}
