//! The systems' credentials during one turn: what their Secrets have, and what is to take its place.

use super::Data;
use super::database::Unsettled;
use super::servers::OpenWay;
use k8s_openapi::jiff::Timestamp;
use maru_apply::credentials::{CredentialsError, WantedCredentials, random};
use maru_apply::sql::{Password, SqlError, libpq_mode};
use maru_desire::dataset::{
    Catalog, DatasetFacts, Issued, Login, Logins, Part, WantedUser, credentials_name, may_what, wanted_users,
    written_logins,
};
use maru_desire::{Problem, SystemKey};
use std::collections::BTreeMap;

/// What is known of credentials in a turn. The passwords are in memory here, in the Secrets, and nowhere else.
#[derive(Default)]
pub(super) struct Keys {
    /// What the Secrets say.
    issued: BTreeMap<SystemKey, Issued>,
    /// The roles that are to take their turn: their passwords are in no Secret before the database knows them.
    next: BTreeMap<SystemKey, String>,
    /// By role.
    pub(super) passwords: BTreeMap<String, Password>,
}

impl Keys {
    fn logins_of(&self, facts: &DatasetFacts<'_>, system: &SystemKey, now: Timestamp, written: &[Login]) -> Vec<Login> {
        let Some(issued) = self.issued.get(system) else {
            // Its roles keep the passwords that they have.
            return written.to_vec();
        };
        let known = |role: &String| {
            let password = self.passwords.get(role)?;
            Some(Login {
                role: role.clone(),
                fingerprint: password.fingerprint(),
            })
        };
        let policy = facts.dataset.spec.credentials.as_ref();
        let next = self.next.get(system);
        // A role that is to be the next one gets another password than the one that it may have.
        let old = issued
            .overlapping(policy, now)
            .filter(|old| next.is_none_or(|next| next != old));
        let old = old.and_then(|old| written.iter().find(|login| login.role == old));
        known(&issued.role)
            .into_iter()
            .chain(next.and_then(known))
            .chain(old.cloned())
            .collect()
    }
}

impl Data {
    /// What the systems have credentials for. A Secret that is missing is written first, so that no role has a password that is nowhere;
    /// one that is to be replaced stays as it is until the next role may do the same.
    pub(super) async fn logins(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        catalog: &Catalog,
        keys: &mut Keys,
        failures: &mut Vec<(Part, Problem)>,
    ) -> Result<Logins, Unsettled> {
        let now = clock(catalog)?;
        let mut logins = written_logins(catalog);
        let policy = facts.dataset.spec.credentials.as_ref();
        for user in wanted_users(facts, catalog) {
            if !keys.issued.contains_key(&user.system) {
                match self.credentials.ensure(&wanted(facts, way, &user), now).await {
                    Ok((issued, password)) => {
                        keys.passwords.insert(issued.role.clone(), password);
                        keys.issued.insert(user.system.clone(), issued);
                    }
                    Err(error) => refused(error, failures)?,
                }
            }
            let due = keys.issued.get(&user.system).filter(|one| one.is_due(policy, now));
            if let Some(issued) = due
                && !keys.next.contains_key(&user.system)
                && let Some(next) = user.roles.iter().find(|role| **role != issued.role)
            {
                keys.passwords
                    .insert(next.clone(), random().map_err(Unsettled::Credentials)?);
                keys.next.insert(user.system.clone(), next.clone());
            }
            let written = logins.remove(&user.system).unwrap_or_default();
            let all = keys.logins_of(facts, &user.system, now, &written);
            logins.insert(user.system, all);
        }
        Ok(logins)
    }

    /// Delivers the credentials whose roles the database has by now, with all that the roles before them may do.
    pub(super) async fn deliver(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        catalog: &Catalog,
        keys: &mut Keys,
        failures: &mut Vec<(Part, Problem)>,
    ) -> Result<(), Unsettled> {
        let now = clock(catalog)?;
        let written = written_logins(catalog);
        for user in wanted_users(facts, catalog) {
            let (Some(next), Some(before)) = (keys.next.get(&user.system), keys.issued.get(&user.system)) else {
                continue;
            };
            let Some(password) = keys.passwords.get(next) else {
                continue;
            };
            let fingerprint = password.fingerprint();
            let mut there = written.get(&user.system).into_iter().flatten();
            let knows = there.any(|login| login.role == *next && login.fingerprint == fingerprint);
            if !knows || !may_what(catalog, next, &before.role) {
                continue;
            }
            let issued = Issued {
                role: next.clone(),
                since: now,
                replaced: Some(before.role.clone()),
                version: before.version.clone(),
            };
            match self
                .credentials
                .write(&wanted(facts, way, &user), &issued, password)
                .await
            {
                Ok(_) => tracing::info!(system = %user.system, user = issued.role, "the credential was replaced"),
                Err(error) => refused(error, failures)?,
            }
        }
        keys.next.clear();
        Ok(())
    }
}

/// What people must mend is a failure of the dataset; that the API server does not answer ends the turn.
fn refused(error: CredentialsError, failures: &mut Vec<(Part, Problem)>) -> Result<(), Unsettled> {
    match error {
        CredentialsError::Refused(problem) => {
            if !failures.iter().any(|(_, known)| *known == problem) {
                failures.push((Part::Dataset, problem));
            }
            Ok(())
        }
        error @ CredentialsError::Unavailable { .. } => Err(Unsettled::Credentials(error)),
    }
}

fn clock(catalog: &Catalog) -> Result<Timestamp, Unsettled> {
    let now = catalog.now.parse::<Timestamp>();
    now.map_err(|error| SqlError::Answer(error.to_string()).into())
}

fn wanted(facts: &DatasetFacts<'_>, way: &OpenWay, user: &WantedUser) -> WantedCredentials {
    let spec = &facts.server.spec;
    WantedCredentials {
        system: user.system.clone(),
        secret: credentials_name(&user.system.name, facts.namespace(), facts.name()),
        dataset: format!("{}/{}", facts.namespace(), facts.name()),
        host: spec.host.clone(),
        port: spec.port,
        database: facts.database.to_owned(),
        roles: user.roles.clone(),
        sslmode: libpq_mode(spec.tls.mode),
        authority: way.authority.clone(),
    }
}
