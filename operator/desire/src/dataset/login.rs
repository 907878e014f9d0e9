//! What systems log in with, and when it is replaced: two roles take turns, so that one works while the other is exchanged.

use super::catalog::Catalog;
use super::names::Remark;
use crate::facts::SystemKey;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use maru_crds::CredentialPolicy;
use std::collections::BTreeMap;

/// A role that a system logs in as, and the fingerprint of its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The role.
    pub role: String,
    /// The fingerprint that its comment is to say.
    pub fingerprint: String,
}

/// The roles that each system logs in as: one, or two while one takes over from the other.
pub type Logins = BTreeMap<SystemKey, Vec<Login>>;

/// A credential as its Secret has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The role that the Secret says to log in as.
    pub role: String,
    /// When it was written there.
    pub since: Timestamp,
    /// The role that stood there before.
    pub replaced: Option<String>,
    /// The version of the Secret that was read: what is written in its place is refused where somebody wrote in between. None: there is no
    /// Secret yet.
    pub version: Option<String>,
}

/// The logins that the roles' comments tell of.
pub fn written_logins(catalog: &Catalog) -> Logins {
    let mut all = Logins::new();
    for role in &catalog.roles {
        if let Some(Remark::User(system, fingerprint)) = Remark::parse(&role.remark) {
            all.entry(system).or_default().push(Login {
                role: role.name.clone(),
                fingerprint,
            });
        }
    }
    all
}

impl Issued {
    /// The role that was replaced, while it still works.
    pub fn overlapping(&self, policy: Option<&CredentialPolicy>, now: Timestamp) -> Option<&str> {
        let default = CredentialPolicy::default();
        let minutes = i64::from(policy.unwrap_or(&default).overlap_minutes);
        let ends = self.since.saturating_add(SignedDuration::from_mins(minutes));
        self.replaced.as_deref().filter(|_| ends.is_ok_and(|ends| now < ends))
    }

    /// Whether it is to be replaced now. There are two roles, so the one before must have had its time.
    pub fn is_due(&self, policy: Option<&CredentialPolicy>, now: Timestamp) -> bool {
        let Some(CredentialPolicy {
            rotate_every_days,
            replace_issued_before,
            overlap_minutes: _,
        }) = policy
        else {
            return false;
        };
        let old = rotate_every_days.is_some_and(|days| {
            let ends = self
                .since
                .saturating_add(SignedDuration::from_hours(i64::from(days) * 24));
            ends.is_ok_and(|ends| now >= ends)
        });
        let asked = replace_issued_before.as_deref().and_then(|text| text.parse().ok());
        let asked = asked.is_some_and(|before: Timestamp| self.since < before && before <= now);
        (old || asked) && self.overlapping(policy, now).is_none()
    }
}

/// Whether a role may do all that another one may: what one is a member of, the other is too.
pub fn may_what(catalog: &Catalog, role: &str, other: &str) -> bool {
    let mut of_other = catalog.members.iter().filter(|(_, member)| member == other);
    of_other.all(|(group, _)| catalog.members.contains(&(group.clone(), role.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(days: Option<i32>, before: Option<&str>) -> CredentialPolicy {
        CredentialPolicy {
            rotate_every_days: days,
            replace_issued_before: before.map(str::to_owned),
            overlap_minutes: 60,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_credential_is_replaced_after_its_days_or_when_asked_and_never_before_the_last_one_had_its_time() {
        let mut issued = Issued {
            role: "a".to_owned(),
            since: at("2026-03-01T00:00:00Z"),
            replaced: None,
            version: None,
        };
        let due = |issued: &Issued, policy: &CredentialPolicy, now: &str| issued.is_due(Some(policy), at(now));
        let monthly = policy(Some(30), None);
        assert!(!due(&issued, &monthly, "2026-03-30T23:59:59Z"));
        assert!(due(&issued, &monthly, "2026-03-31T00:00:00Z"));
        let asked = policy(None, Some("2026-03-01T00:10:00Z"));
        assert!(!due(&issued, &asked, "2026-03-01T00:09:59Z"), "its time has not come");
        assert!(due(&issued, &asked, "2026-03-01T00:10:00Z"));
        assert!(!due(
            &issued,
            &policy(None, Some("2026-02-28T00:00:00Z")),
            "2026-03-02T00:00:00Z"
        ));
        assert!(!issued.is_due(None, at("2036-03-02T00:00:00Z")), "nobody asked");

        issued.replaced = Some("b".to_owned());
        assert!(!due(&issued, &asked, "2026-03-01T00:59:59Z"));
        assert_eq!(issued.overlapping(Some(&asked), at("2026-03-01T00:59:59Z")), Some("b"));
        assert_eq!(issued.overlapping(Some(&asked), at("2026-03-01T01:00:00Z")), None);
        assert!(due(&issued, &asked, "2026-03-01T01:00:00Z"));
        assert_eq!(
            issued.overlapping(None, at("2026-03-01T23:00:00Z")),
            Some("b"),
            "a day if nobody says"
        );
    }
}
