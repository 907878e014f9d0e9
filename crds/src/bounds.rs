//! What a string may look like, once for every field that needs it: longest length, pattern, and the sentence that an
//! administrator reads when it does not fit.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A string of at most `max` characters that matches `pattern`.
fn string(max: u32, pattern: &str) -> Schema {
    json_schema!({"type": "string", "maxLength": max, "pattern": pattern})
}

/// A DNS label: what namespaces, Services and containers are named.
pub(crate) fn dns_label(_: &mut SchemaGenerator) -> Schema {
    string(63, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
}

/// The name of a component or a job: it is one part of a DNS label, with the system's name before it.
pub(crate) fn part_name(_: &mut SchemaGenerator) -> Schema {
    string(22, "^[a-z]([-a-z0-9]*[a-z0-9])?$")
}

/// A port name, as Services have it.
pub(crate) fn port_name(_: &mut SchemaGenerator) -> Schema {
    string(15, "^[a-z]([-a-z0-9]*[a-z0-9])?$")
}

/// A DNS name of several labels: host names, names of Secrets and StorageClasses.
pub(crate) fn dns_name(_: &mut SchemaGenerator) -> Schema {
    string(
        253,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    )
}

/// A key of a Secret or a ConfigMap.
pub(crate) fn data_key(_: &mut SchemaGenerator) -> Schema {
    string(253, "^[-._a-zA-Z0-9]+$")
}

/// A decimal of 0 or more.
pub(crate) fn decimal(_: &mut SchemaGenerator) -> Schema {
    string(28, r"^[0-9]{1,18}(\.[0-9]{1,9})?$")
}

/// A decimal from 0 to 1.
pub(crate) fn share(_: &mut SchemaGenerator) -> Schema {
    string(11, r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$")
}

/// An ISO 4217 currency code.
pub(crate) fn currency(_: &mut SchemaGenerator) -> Schema {
    string(3, "^[A-Z]{3}$")
}

/// A calendar date, `2026-01-31`.
pub(crate) fn date(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date", "maxLength": 10})
}

/// A CPU quantity: cores or millicores.
pub(crate) fn cpu(_: &mut SchemaGenerator) -> Schema {
    string(16, r"^([0-9]{1,9}(\.[0-9]{1,3})?|[0-9]{1,12}m)$")
}

/// A quantity of bytes.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    string(24, r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")
}

/// A BCP 47 language tag.
pub(crate) fn language(_: &mut SchemaGenerator) -> Schema {
    string(35, "^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*$")
}

/// Text of one line for people to read.
pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 256})
}

/// A container image reference.
pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    string(512, r"^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$")
}

/// A word of a command line or the value of a variable.
pub(crate) fn argument(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 4096})
}

/// A command line.
pub(crate) fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 4096}})
}

/// The name of an environment variable.
pub(crate) fn variable(_: &mut SchemaGenerator) -> Schema {
    string(128, "^[a-zA-Z_][a-zA-Z0-9_]*$")
}

/// An absolute path inside a container.
pub(crate) fn file_path(_: &mut SchemaGenerator) -> Schema {
    string(512, "^/[^:]*$")
}

/// The path of a URL.
pub(crate) fn url_path(_: &mut SchemaGenerator) -> Schema {
    string(512, "^/[-a-zA-Z0-9._~%!$&'()*+,;=:@/]*$")
}

/// A URL of a web address.
pub(crate) fn url(_: &mut SchemaGenerator) -> Schema {
    string(2048, r"^https?://[^\s]+$")
}

/// A cron schedule of five fields.
pub(crate) fn schedule(_: &mut SchemaGenerator) -> Schema {
    string(100, r"^(@(hourly|daily|weekly|monthly|yearly)|\S+( \S+){4})$")
}

/// An IANA time zone.
pub(crate) fn time_zone(_: &mut SchemaGenerator) -> Schema {
    string(64, "^[A-Za-z]+([-+_/A-Za-z0-9])*$")
}

/// A meter, such as `cpu.reserved`.
pub(crate) fn meter(_: &mut SchemaGenerator) -> Schema {
    string(63, r"^[a-z][a-z0-9]*([._-][a-z0-9]+)*$")
}

/// An extended resource of a node, such as `nvidia.com/gpu`.
pub(crate) fn device(_: &mut SchemaGenerator) -> Schema {
    string(
        128,
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$",
    )
}

/// An address range in CIDR notation.
pub(crate) fn cidr(_: &mut SchemaGenerator) -> Schema {
    string(43, r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")
}

/// The name of a user, a group or a service account.
pub(crate) fn subject_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 256})
}

/// A label key.
pub(crate) fn label_key(_: &mut SchemaGenerator) -> Schema {
    string(
        317,
        r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$",
    )
}

/// Labels and their values.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$"},
    })
}

/// Values of a label.
pub(crate) fn label_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {"type": "string", "maxLength": 63, "pattern": "^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$"},
    })
}

/// Shares of a whole, such as the points at which a budget warns.
pub(crate) fn shares(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 10,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 11, "pattern": r"^[0-9](\.[0-9]{1,9})?$"},
    })
}

/// URLs in a status.
pub(crate) fn urls(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 32, "items": {"type": "string", "maxLength": 2048}})
}

/// Conditions, one of each type, as the Kubernetes API conventions have them.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "What the condition is about, such as `Ready`.",
                    "type": "string", "maxLength": 316, "pattern": "^[A-Z][A-Za-z0-9]*$",
                },
                "status": {
                    "description": "Whether it holds.",
                    "type": "string", "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "The `metadata.generation` that the condition was worked out for.",
                    "type": "integer", "format": "int64", "minimum": 0,
                },
                "lastTransitionTime": {
                    "description": "When `status` last changed, RFC 3339.",
                    "type": "string", "format": "date-time",
                },
                "reason": {
                    "description": "One CamelCase word for programs.",
                    "type": "string", "maxLength": 128, "pattern": "^[A-Z][A-Za-z0-9]*$",
                },
                "message": {
                    "description": "A sentence for people.",
                    "type": "string", "maxLength": 4096,
                },
            },
        },
    })
}

/// Any quantity, in a status.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    string(32, r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
}

/// A decimal of more than 0.
pub(crate) fn positive(_: &mut SchemaGenerator) -> Schema {
    string(28, r"^(0*[1-9][0-9]{0,17}(\.[0-9]{1,9})?|0+\.0*[1-9][0-9]*)$")
}

/// An instant, RFC 3339 with an offset.
pub(crate) fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "maxLength": 35})
}

/// The unit of a meter, such as `core-hour`.
pub(crate) fn unit(_: &mut SchemaGenerator) -> Schema {
    string(32, "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")
}

/// Meters, each once.
pub(crate) fn meters(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 63, "pattern": r"^[a-z][a-z0-9]*([._-][a-z0-9]+)*$"},
    })
}

/// The name of a tax.
pub(crate) fn tax_name(_: &mut SchemaGenerator) -> Schema {
    string(32, "^[A-Za-z]([-A-Za-z0-9 ]*[A-Za-z0-9])?$")
}
