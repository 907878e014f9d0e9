//! What a system's objects are named. Two systems of one namespace never come to the same name, whatever they are called.
//!
//! | system and component | name | why it is nobody else's |
//! | --- | --- | --- |
//! | the component has no hyphen | `system-component` | the last hyphen divides it |
//! | the component has one | `system--compo-nent` | the only double hyphen divides it, and a hyphen follows |
//! | neither fits (too long, dots, double hyphens) | `begin--hash` | the only double hyphen, and no hyphen follows |

/// The longest DNS label: names of Services and of all that carry a label.
const LABEL: usize = 63;
/// The longest name of a `CronJob`, whose Jobs append eleven characters.
const CRON_JOB: usize = 52;
/// The longest DNS name.
const DNS_NAME: usize = 253;

/// The name of a component's Deployment, Service, autoscaler, disruption budget and network policy.
pub(crate) fn component_name(system: &str, component: &str) -> String {
    joined(system, component, LABEL)
}

/// The name of a job's `CronJob` and network policy.
pub(crate) fn job_name(system: &str, job: &str) -> String {
    joined(system, job, CRON_JOB)
}

/// The name of a system's ServiceAccount: the system's own, unless a namespace has one of that name by itself.
pub(crate) fn account_name(system: &str) -> String {
    if system == "default" || system.contains('.') || system.contains("--") || system.len() > LABEL {
        return hashed(&[system], LABEL);
    }
    system.to_owned()
}

/// The name of the claim of a component's or job's volume. A dot divides it, which no label has.
pub(crate) fn claim_name(system: &str, part: &str, volume: &str) -> String {
    format!("{}.{volume}", joined(system, part, LABEL))
}

/// The name of the route of one of a system's hosts. The first dot divides it.
pub(crate) fn route_name(system: &str, host: &str) -> String {
    if system.contains('.') || system.len() + host.len() >= DNS_NAME {
        return hashed(&[system, host], LABEL);
    }
    format!("{system}.{host}")
}

fn joined(system: &str, part: &str, longest: usize) -> String {
    let odd = |name: &str| name.contains("--") || name.contains('.');
    if odd(system) || odd(part) {
        return hashed(&[system, part], longest);
    }
    let divider = if part.contains('-') { "--" } else { "-" };
    if system.len() + divider.len() + part.len() > longest {
        return hashed(&[system, part], longest);
    }
    format!("{system}{divider}{part}")
}

/// The beginning of the parts, as far as it fits, and a hash of all of them.
pub(crate) fn hashed(parts: &[&str], longest: usize) -> String {
    let hash = base32(fnv1a(parts));
    let mut begin = String::with_capacity(longest);
    for c in parts.join("-").chars() {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        };
        if begin.len() + hash.len() + 2 >= longest {
            break;
        }
        if c != '-' || !(begin.is_empty() || begin.ends_with('-')) {
            begin.push(c);
        }
    }
    format!("{}--{hash}", begin.trim_end_matches('-'))
}

/// FNV-1a of 64 bits, with a byte between the parts that no name has. It need not withstand an attacker: whoever finds a
/// collision hits nobody's objects but those in the same namespace.
fn fnv1a(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// Twelve characters of five bits each.
fn base32(hash: u64) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    (0..12u32)
        .map(|place| char::from(ALPHABET[usize::try_from((hash >> (place * 5)) & 31).unwrap_or(0)]))
        .collect()
}
