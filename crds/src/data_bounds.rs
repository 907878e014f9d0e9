//! What strings about data may look like: the names that SQL has, classes of data and terms of a catalogue.
//!
//! A dataset may have thousands of columns, and the API server counts what rules could cost at most: strings that stand
//! in each column have a pattern and no rule of their own.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::bounds::string;

/// The name of a schema, a table or a column, as `PostgreSQL` has it: 1 to 63 characters, none of them a control character.
/// That it is at most 63 bytes long is for the planner to say.
pub(crate) fn sql_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": r"^[^\x00-\x1f\x7f]+$"})
}

/// Names of columns, each once.
pub(crate) fn sql_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": r"^[^\x00-\x1f\x7f]+$"},
    })
}

/// The type of a column.
pub(crate) fn sql_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 40,
        "pattern": "^(smallint|integer|bigint|real|double precision|boolean|date|time|timestamp|timestamptz|interval|\
                    uuid|text|bytea|jsonb|inet|numeric(\\([1-9][0-9]{0,2}(,[0-9]{1,3})?\\))?|(varchar|char)\\([1-9][0-9]{0,4}\\))(\\[\\])?$",
    })
}

/// The name of a role or a database.
pub(crate) fn database_name(_: &mut SchemaGenerator) -> Schema {
    string(
        63,
        r"^[^\x00-\x1f\x7f]+$",
        "a database or a role has a name of 1 to 63 characters without control characters",
    )
}

/// The names of extensions, each once.
pub(crate) fn extensions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": string(
            63,
            "^[a-z][-a-z0-9_]*$",
            "an extension has a name of lower case letters, digits, '-' and '_', such as pgcrypto",
        ),
    })
}

/// The names of agencies, each once.
pub(crate) fn agencies(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 512,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 40, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
    })
}

/// Security grades, each once.
pub(crate) fn grades(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 3,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "enum": ["High", "Moderate", "Low"]},
    })
}

/// A host name of one label or several, or an IP address.
pub(crate) fn server_host(_: &mut SchemaGenerator) -> Schema {
    string(
        253,
        "^[a-zA-Z0-9:]([-a-zA-Z0-9.:]*[a-zA-Z0-9])?$",
        "a server's host is a host name or an IP address, such as maru-db-rw.databases.svc, without scheme, port or path",
    )
}

/// Words that a catalogue is searched by, each once.
pub(crate) fn words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 64},
    })
}

/// An identifier of the web, such as a theme of a catalogue or a licence.
pub(crate) fn iri(_: &mut SchemaGenerator) -> Schema {
    string(
        512,
        r"^[a-zA-Z][-+.a-zA-Z0-9]*:[^\s]+$",
        "an identifier of the web has a scheme and no spaces, such as https://creativecommons.org/licenses/by/4.0/",
    )
}

/// A row filter.
pub(crate) fn row_filter(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 2048, "pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$"})
}

/// Text of a paragraph for people to read.
pub(crate) fn paragraph(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 2048})
}

/// Differences between what is declared and what is there, each a sentence.
pub(crate) fn differences(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 32, "items": {"type": "string", "maxLength": 512}})
}

/// A BCP 47 language tag of a text that a dataset has thousands of.
pub(crate) fn plain_language(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 35, "pattern": "^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*$"})
}
