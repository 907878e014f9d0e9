//! Splitting an agency's quota over its namespaces, so that the parts never exceed the whole.

use crate::facts::SystemDemand;
use crate::quantity::{Amounts, Parsed, Resource};
use maru_crds::AgencyQuota;
use std::collections::BTreeMap;

/// Splits `total` in proportion to `weights` with largest remainders (ties to the earlier one). The parts sum to `total`
/// exactly. Weights that are all zero count as equal; without weights there are no parts.
pub(crate) fn split(total: i64, weights: &[i64]) -> Vec<i64> {
    if weights.iter().all(|weight| *weight <= 0) {
        return if weights.is_empty() {
            Vec::new()
        } else {
            split(total, &vec![1; weights.len()])
        };
    }
    let total = i128::from(total.max(0));
    let sum: i128 = weights.iter().map(|weight| i128::from((*weight).max(0))).sum();
    // total < 2⁶³ and weight < 2⁶³, so each product fits 127 bits
    let exact = |weight: i64| total * i128::from(weight.max(0));
    let mut parts: Vec<i128> = weights.iter().map(|weight| exact(*weight) / sum).collect();
    let left = total - parts.iter().sum::<i128>();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|index| (-(exact(weights[*index]) % sum), *index));
    for index in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        parts[index] += 1;
    }
    debug_assert_eq!(parts.iter().sum::<i128>(), total, "a split sums to what was split");
    parts
        .into_iter()
        .map(|part| i64::try_from(part).unwrap_or(i64::MAX))
        .collect()
}

/// Divides `total` among namespaces: first each gets what its systems ask for, the rest goes by weight. Where they ask for
/// more than there is, everything goes in proportion to what they ask for. The parts sum to `total` exactly.
pub(crate) fn divide(total: i64, demands: &[i64], weights: &[i64]) -> Vec<i64> {
    let asked: i128 = demands.iter().map(|demand| i128::from(*demand)).sum();
    match i64::try_from(i128::from(total) - asked) {
        Ok(rest) if rest >= 0 => {
            let rests = split(rest, weights);
            demands
                .iter()
                .zip(rests)
                .map(|(demand, rest)| demand.saturating_add(rest))
                .collect()
        }
        _ => split(total, demands),
    }
}

/// What an agency may use of each resource; a resource that is not listed has no limit.
pub(crate) fn totals(quota: &AgencyQuota) -> Vec<(Resource, i64)> {
    let AgencyQuota {
        cpu,
        memory,
        storage,
        ephemeral_storage,
        accelerators,
        pods,
        services,
        persistent_volume_claims,
    } = quota;
    let quantities = [
        (Resource::Cpu, cpu),
        (Resource::Memory, memory),
        (Resource::EphemeralStorage, ephemeral_storage),
        (Resource::Storage, storage),
    ];
    let counts = [
        (Resource::Pods, pods),
        (Resource::Services, services),
        (Resource::Claims, persistent_volume_claims),
    ];
    let mut totals: Vec<(Resource, i64)> = Vec::new();
    for (resource, text) in quantities {
        // Admission lets only quantities through; what cannot be read is no allowance.
        if let Some(text) = text {
            let total = Parsed::read(text).map_or(0, |parsed| match resource {
                Resource::Cpu => parsed.milli(),
                _ => parsed.whole(),
            });
            totals.push((resource, total));
        }
    }
    totals.extend(
        counts
            .into_iter()
            .filter_map(|(resource, count)| Some((resource, i64::from((*count)?.max(0))))),
    );
    for device in accelerators {
        totals.push((
            Resource::Device(device.resource.clone()),
            i64::from(device.count.max(0)),
        ));
    }
    totals
}

/// A namespace that shares in the quota.
#[derive(Clone, Debug)]
pub(crate) struct Sharer<'a> {
    /// Its name.
    pub(crate) namespace: &'a str,
    /// Its weight in what the systems leave over.
    pub(crate) weight: i64,
    /// `spec.hard` of its ResourceQuota as it stands; empty where there is none.
    pub(crate) present: Option<&'a BTreeMap<String, String>>,
    /// Whether its ResourceQuota is written now. One that is not written keeps what it has.
    pub(crate) writable: bool,
}

/// The ResourceQuota of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// The namespace.
    pub(crate) namespace: String,
    /// `spec.hard` as it is to be.
    pub(crate) hard: BTreeMap<String, String>,
}

/// What every namespace's ResourceQuota is to say, in the order to write them: those that only give come before those
/// that take, so that at no moment the sum exceeds the total. Where a namespace gives of one resource and takes of another, it
/// takes only what is free at that moment and the rest in the next round, which the write itself brings about.
pub(crate) fn shares(quota: &AgencyQuota, sharers: &[Sharer<'_>], systems: &[SystemDemand]) -> Vec<Share> {
    let demands = demands_by_namespace(sharers, systems);
    let weights: Vec<i64> = sharers.iter().map(|sharer| sharer.weight).collect();
    let resources: Vec<Column> = totals(quota)
        .into_iter()
        .map(|(resource, total)| {
            let asked: Vec<i64> = demands.iter().map(|amounts| amounts.get(&resource)).collect();
            let key = resource.quota_key();
            Column {
                wanted: divide(total, &asked, &weights),
                present: sharers.iter().map(|sharer| present(sharer, &resource, &key)).collect(),
                total,
                key,
                resource,
            }
        })
        .collect();
    in_order(sharers, resources)
}

/// One resource over all namespaces, in its smallest unit.
struct Column {
    resource: Resource,
    key: String,
    total: i64,
    wanted: Vec<i64>,
    /// What the ResourceQuotas say now, and as the writes go on.
    present: Vec<i64>,
}

fn in_order(sharers: &[Sharer<'_>], mut columns: Vec<Column>) -> Vec<Share> {
    let mut order: Vec<usize> = (0..sharers.len()).filter(|index| sharers[*index].writable).collect();
    order.sort_by_key(|index| {
        let takes = columns
            .iter()
            .any(|column| column.wanted[*index] > column.present[*index]);
        let gives = columns
            .iter()
            .any(|column| column.wanted[*index] < column.present[*index]);
        (takes, !gives, *index)
    });
    order
        .into_iter()
        .map(|index| {
            let mut hard = BTreeMap::from([
                ("services.loadbalancers".to_owned(), "0".to_owned()),
                ("services.nodeports".to_owned(), "0".to_owned()),
            ]);
            for column in &mut columns {
                let granted = column.grant(index);
                hard.insert(column.key.clone(), column.resource.write(granted));
            }
            Share {
                namespace: sharers[index].namespace.to_owned(),
                hard,
            }
        })
        .collect()
}

impl Column {
    /// Gives namespace `index` its part, as far as the others leave it, and remembers it.
    fn grant(&mut self, index: usize) -> i64 {
        let others: i128 = self
            .present
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, held)| i128::from(*held))
            .sum();
        let free = i64::try_from((i128::from(self.total) - others).max(0)).unwrap_or(i64::MAX);
        let granted = self.wanted[index].min(free);
        self.present[index] = granted;
        granted
    }
}

fn present(sharer: &Sharer<'_>, resource: &Resource, key: &str) -> i64 {
    sharer
        .present
        .and_then(|hard| hard.get(key))
        .and_then(|text| resource.read(text).ok())
        .unwrap_or(0)
}

fn demands_by_namespace(sharers: &[Sharer<'_>], systems: &[SystemDemand]) -> Vec<Amounts> {
    let places: BTreeMap<&str, usize> = sharers
        .iter()
        .enumerate()
        .map(|(place, sharer)| (sharer.namespace, place))
        .collect();
    let mut demands = vec![Amounts::default(); sharers.len()];
    for system in systems {
        if let Some(place) = places.get(system.system.namespace.as_str()) {
            demands[*place].add_times(&system.amounts, 1);
        }
    }
    demands
}

/// What the systems ask for beyond the quota: for each resource that does not fit, one clause with the figures.
pub(crate) fn shortages(quota: &AgencyQuota, systems: &[SystemDemand]) -> Vec<String> {
    totals(quota)
        .into_iter()
        .filter_map(|(resource, total)| {
            let asked: i128 = systems
                .iter()
                .map(|system| i128::from(system.amounts.get(&resource)))
                .sum();
            let asked = i64::try_from(asked).unwrap_or(i64::MAX);
            (asked > total).then(|| {
                format!(
                    "{} {} of {}",
                    resource.title(),
                    resource.write(asked),
                    resource.write(total)
                )
            })
        })
        .collect()
}
