//! What a string may look like, once for every field that needs it: its longest length, its pattern, and the sentence
//! that an administrator reads when it does not fit. (A pattern alone answers with the pattern.)

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A string of at most `max` characters that matches `pattern`; `words` says so in words.
pub(crate) fn string(max: u32, pattern: &str, words: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": max,
        "pattern": pattern,
        "x-kubernetes-validations": [{"rule": matches(pattern), "message": words}],
    })
}

/// The CEL rule that says what a pattern says.
fn matches(pattern: &str) -> String {
    format!("self.matches(r\"{pattern}\")")
}

/// The pattern of a DNS label that may begin with a digit.
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The pattern of a DNS label that begins with a letter.
const LETTER_LABEL: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// The pattern of a meter.
const METER: &str = "^[a-z][a-z0-9]*([._-][a-z0-9]+)*$";
/// The pattern of a label's value.
const LABEL_VALUE: &str = "^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$";

/// A DNS label: what namespaces, volumes and tranches of cost are named.
pub(crate) fn dns_label(_: &mut SchemaGenerator) -> Schema {
    string(
        63,
        LABEL,
        "a name has at most 63 lower case letters, digits and '-', and begins and ends with a letter or a digit",
    )
}

/// The name of a namespace that an agency may have.
pub(crate) fn namespace(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = dns_label(generator);
    if let Some(Value::Array(rules)) = schema.get_mut("x-kubernetes-validations") {
        rules.push(json!({
            "rule": "self != 'default' && !self.startsWith('kube-') && self != 'maru-system'",
            "message": "default, maru-system and names that begin with 'kube-' are the cluster's own namespaces",
        }));
    }
    schema
}

/// The name of a component or a job: it is one part of a DNS label, with the system's name before it.
pub(crate) fn part_name(_: &mut SchemaGenerator) -> Schema {
    string(
        22,
        LETTER_LABEL,
        "a component or job has a name of at most 22 lower case letters, digits and '-', which begins with a letter",
    )
}

/// A port name, as Services have it.
pub(crate) fn port_name(_: &mut SchemaGenerator) -> Schema {
    string(
        15,
        LETTER_LABEL,
        "a port has a name of at most 15 lower case letters, digits and '-', which begins with a letter",
    )
}

/// A DNS name of several labels: names of Secrets and storage classes.
pub(crate) fn dns_name(_: &mut SchemaGenerator) -> Schema {
    string(
        253,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "a name has lower case letters, digits, '-' and '.', and begins and ends with a letter or a digit",
    )
}

/// A host name: at least two labels, no wildcard.
pub(crate) fn host(_: &mut SchemaGenerator) -> Schema {
    string(
        253,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$",
        "a host name is given in full and in lower case, such as docs.mois.example, without scheme, port or '*'",
    )
}

/// A key of a Secret or a `ConfigMap`.
pub(crate) fn data_key(_: &mut SchemaGenerator) -> Schema {
    string(253, "^[-._a-zA-Z0-9]+$", "a key has letters, digits, '-', '_' and '.'")
}

/// A decimal of 0 or more.
pub(crate) fn decimal(_: &mut SchemaGenerator) -> Schema {
    string(
        28,
        r"^[0-9]{1,18}(\.[0-9]{1,9})?$",
        "a decimal of 0 or more in quotes, such as \"1350.20\": at most 18 digits before the point and 9 after it, \
         without sign, exponent or separators",
    )
}

/// A decimal of 0 or more with fewer digits, for prices that a price book has thousands of.
pub(crate) fn price(_: &mut SchemaGenerator) -> Schema {
    string(
        22,
        r"^[0-9]{1,12}(\.[0-9]{1,9})?$",
        "a decimal of 0 or more in quotes, such as \"0.0005\": at most 12 digits before the point and 9 after it, \
         without sign, exponent or separators",
    )
}

/// A decimal of more than 0.
pub(crate) fn positive(_: &mut SchemaGenerator) -> Schema {
    string(
        28,
        r"^(0{0,17}[1-9][0-9]{0,17}(\.[0-9]{1,9})?|0{1,18}\.0{0,8}[1-9][0-9]{0,8})$",
        "a decimal of more than 0 in quotes, such as \"1350.20\": at most 18 digits before the point and 9 after it, \
         without sign, exponent or separators",
    )
}

/// A decimal from 0 to 1.
pub(crate) fn share(_: &mut SchemaGenerator) -> Schema {
    string(
        11,
        r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$",
        "a decimal from 0 to 1 in quotes, such as \"0.045\" for 4.5 %, with at most 9 digits after the point",
    )
}

/// An ISO 4217 code of a currency that amounts can be in.
///
/// As a list and not as a rule: a price book has too many of them for what the API server lets rules cost.
pub(crate) fn currency(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": currencies()})
}

/// The codes of all currencies with a minor unit.
fn currencies() -> Vec<String> {
    let letters = || 'A'..='Z';
    let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    codes
        .filter(|code| iso_currency::Currency::from_code(code).is_some_and(|known| known.exponent().is_some()))
        .collect()
}

/// A calendar date, `2026-01-31`.
pub(crate) fn date(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date", "maxLength": 10})
}

/// An instant, RFC 3339 with an offset.
pub(crate) fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "maxLength": 35})
}

/// A CPU quantity: cores or millicores.
pub(crate) fn cpu(_: &mut SchemaGenerator) -> Schema {
    string(
        16,
        r"^([0-9]{1,9}(\.[0-9]{1,3})?|[0-9]{1,12}m)$",
        "CPU is given in cores (\"2\", \"0.5\") or millicores (\"500m\"), in quotes",
    )
}

/// A quantity of bytes.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    string(
        24,
        r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$",
        "memory and storage are given in bytes with a unit of k, M, G, T, P or Ki, Mi, Gi, Ti, Pi, such as \"512Mi\"",
    )
}

/// Any quantity, in a status.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
    })
}

/// A BCP 47 language tag.
pub(crate) fn language(_: &mut SchemaGenerator) -> Schema {
    string(
        35,
        "^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*$",
        "a language is a BCP 47 tag, such as ko or en-GB",
    )
}

/// Text of one line for people to read.
pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 256})
}

/// A container image reference.
pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    string(
        512,
        "^[a-zA-Z0-9][-a-zA-Z0-9._]*(:[0-9]{1,5})?(/[a-zA-Z0-9][-a-zA-Z0-9._]*)*(:[a-zA-Z0-9_][-a-zA-Z0-9._]*)?(@sha256:[0-9a-f]{64})?$",
        "an image is given as registry/name:tag or registry/name@sha256:digest, without a scheme or spaces",
    )
}

/// The value of a variable.
pub(crate) fn argument(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 4096})
}

/// A command line.
pub(crate) fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 4096}})
}

/// A command line of at least one word.
pub(crate) fn command(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": 64, "items": {"type": "string", "maxLength": 4096}})
}

/// The name of an environment variable.
pub(crate) fn variable(_: &mut SchemaGenerator) -> Schema {
    string(
        128,
        "^[a-zA-Z_][a-zA-Z0-9_]*$",
        "a variable's name has letters, digits and '_' and begins with no digit",
    )
}

/// An absolute path inside a container.
pub(crate) fn file_path(_: &mut SchemaGenerator) -> Schema {
    string(
        512,
        "^/[^:]*[^:/]$",
        "a mount path is absolute, such as /data; it is not / itself and has no ':' in it",
    )
}

/// The path of a URL.
pub(crate) fn url_path(_: &mut SchemaGenerator) -> Schema {
    string(
        512,
        "^/[-a-zA-Z0-9._~%!$&'()*+,;=:@/]*$",
        "a path begins with '/' and has no spaces, '?' or '#' in it",
    )
}

/// A URL of a web address.
pub(crate) fn url(_: &mut SchemaGenerator) -> Schema {
    string(
        1024,
        r"^https?://[^\s]+$",
        "a URL begins with https:// or http:// and has no spaces in it",
    )
}

/// A cron schedule of five fields.
pub(crate) fn schedule(_: &mut SchemaGenerator) -> Schema {
    string(
        100,
        "^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[-0-9A-Za-z*?/,]+( [-0-9A-Za-z*?/,]+){4})$",
        "a schedule has five fields with one space between them: minute, hour, day of the month, month, day of the \
         week, such as \"30 2 * * *\"; or it is @hourly, @daily, @weekly, @monthly or @yearly",
    )
}

/// An IANA time zone. What a pattern cannot say, whether there is such a zone, the API server's own table says.
pub(crate) fn time_zone(_: &mut SchemaGenerator) -> Schema {
    let mut schema = string(
        64,
        "^(UTC|[A-Za-z]+(/[-+_A-Za-z0-9]+)+)$",
        "a time zone is an IANA name, such as Asia/Seoul, or UTC; not an abbreviation or an offset",
    );
    if let Some(Value::Array(rules)) = schema.get_mut("x-kubernetes-validations") {
        rules.push(json!({
            "rule": "timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",
            "message": "there is no such time zone: allowed are IANA names, such as Asia/Seoul, and UTC",
        }));
    }
    schema
}

/// A calendar month.
pub(crate) fn period(_: &mut SchemaGenerator) -> Schema {
    string(7, "^[0-9]{4}-(0[1-9]|1[0-2])$", "a period is a month, such as 2026-10")
}

/// A number of hours.
pub(crate) fn hours(_: &mut SchemaGenerator) -> Schema {
    string(6, "^[0-9]{1,5}h$", "a time is given in whole hours, such as 72h")
}

/// The number of an issued bill.
pub(crate) fn bill_number(_: &mut SchemaGenerator) -> Schema {
    string(
        24,
        "^[0-9]{4}-[0-9]{6,12}$",
        "a bill's number is its fiscal year and six or more digits, such as 2026-000123",
    )
}

/// A SHA-256 digest.
pub(crate) fn digest(_: &mut SchemaGenerator) -> Schema {
    string(
        71,
        "^sha256:[0-9a-f]{64}$",
        "a digest is sha256: and 64 hexadecimal digits in lower case",
    )
}

/// A signature in base64.
pub(crate) fn signature(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 16384, "pattern": "^[A-Za-z0-9+/]+={0,2}$"})
}

/// A figure of a bill; a bill has thousands of them, so that the pattern speaks for itself.
pub(crate) fn figure(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 72, "pattern": r"^-?[0-9]{1,40}(\.[0-9]{1,28})?$"})
}

/// A system by its full name, or `unassigned`.
pub(crate) fn system_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(/[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"})
}

/// What a line of a bill is for: a meter, an item or a unit.
pub(crate) fn line_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253})
}

/// The name of a tax on a bill.
pub(crate) fn tax_label(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 64})
}

/// A line of an issued bill.
pub(crate) fn reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 40, "pattern": "^[0-9]{4}-[0-9]{2,12}(/[0-9]{1,7})?$"})
}

/// A sentence on a bill.
pub(crate) fn remark(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 512})
}

/// A meter, such as `cpu.reserved`.
pub(crate) fn meter(_: &mut SchemaGenerator) -> Schema {
    string(
        63,
        METER,
        "a meter has lower case letters, digits and '.', '_' or '-' between them, such as cpu.reserved",
    )
}

/// Meters, each once.
///
/// Without words of its own: a price book has too many of them for the cost that the API server allows rules.
pub(crate) fn meters(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 63, "pattern": METER},
    })
}

/// The unit of a meter, such as `core-hour`.
pub(crate) fn unit(_: &mut SchemaGenerator) -> Schema {
    string(
        32,
        "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
        "a unit has letters, digits and '-', such as core-hour",
    )
}

/// The name of a tax.
pub(crate) fn tax_name(_: &mut SchemaGenerator) -> Schema {
    string(
        32,
        "^[A-Za-z]([-A-Za-z0-9 ]*[A-Za-z0-9])?$",
        "a tax has a name of letters, digits, spaces and '-', such as VAT",
    )
}

/// An extended resource of a node, such as `nvidia.com/gpu`.
pub(crate) fn device(_: &mut SchemaGenerator) -> Schema {
    string(
        128,
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$",
        "a device is named as nodes offer it, such as nvidia.com/gpu",
    )
}

/// An address range in CIDR notation.
pub(crate) fn cidr(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 43,
        "x-kubernetes-validations": [{
            "rule": "isCIDR(self)",
            "message": "an address range is given in CIDR notation, such as 203.0.113.0/24 or 2001:db8::/32",
        }],
    })
}

/// The name of a user, a group or a service account.
pub(crate) fn subject_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 256})
}

/// A label key.
pub(crate) fn label_key(_: &mut SchemaGenerator) -> Schema {
    string(
        317,
        "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$",
        "a label's key has letters, digits, '-', '_' and '.', with a DNS name and '/' before it if wanted",
    )
}

/// A label's value.
fn label_value() -> Schema {
    string(
        63,
        LABEL_VALUE,
        "a label's value has at most 63 letters, digits, '-', '_' and '.'",
    )
}

/// Labels and their values.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 16, "additionalProperties": label_value()})
}

/// Values of a label.
pub(crate) fn label_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 32, "x-kubernetes-list-type": "set", "items": label_value()})
}

/// URLs in a status.
pub(crate) fn urls(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 32, "items": {"type": "string", "maxLength": 1024}})
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
                    "description": "Whether it holds: `True`, `False` or `Unknown`.",
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
                    "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Z][A-Za-z0-9]*$",
                },
                "message": {
                    "description": "A sentence for people.",
                    "type": "string", "maxLength": 4096,
                },
            },
        },
    })
}
