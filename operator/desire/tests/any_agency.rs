//! What holds of every agency, whatever its spec says and whatever was observed.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{agency, agency_facts, carry_out_agency, noon, platform};
use maru_crds::{Agency, DeletionPolicy};
use maru_desire::{
    AgencyFacts, Amounts, NamespaceFacts, ObjectKey, ObjectKind, Platform, Resource, SystemDemand, SystemKey,
    plan_agency, report_agency,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NAMESPACES: [&str; 5] = ["mois", "mois-test", "mois-a", "nts", "kube-system"];
/// What is limited here: a resource in cores, one in bytes, one that is counted and a device.
const LIMITED: [&str; 4] = ["requests.cpu", "requests.memory", "pods", "requests.nvidia.com/gpu"];

fn resource(key: &str) -> Resource {
    match key {
        "requests.cpu" => Resource::Cpu,
        "requests.memory" => Resource::Memory,
        "pods" => Resource::Pods,
        _ => Resource::Device("nvidia.com/gpu".to_owned()),
    }
}

fn an_agency() -> impl Strategy<Value = Agency> {
    let namespaces = btree_map(select(&NAMESPACES[..]), 1..1000i32, 0..4);
    let quota = (
        option::of(0..50i32),
        option::of(0..64i32),
        option::of(0..100i32),
        option::of(0..9i32),
    );
    let policy = select(vec![DeletionPolicy::Retain, DeletionPolicy::Delete]);
    let recorded = (
        option::of(policy.clone()),
        btree_map(select(&NAMESPACES[..]), any::<bool>(), 0..4),
    );
    (namespaces, quota, policy, recorded, prop::bool::weighted(0.2)).prop_map(
        |(namespaces, (cpu, memory, pods, devices), policy, (recorded, known), deleting)| {
            let namespaces: Vec<Value> =
                namespaces.into_iter().map(|(name, weight)| json!({"name": name, "quotaWeight": weight})).collect();
            let mut quota = json!({});
            let quantities = [
                ("cpu", cpu.map(|cpu| json!(format!("{cpu}500m")))),
                ("memory", memory.map(|memory| json!(format!("{memory}Gi")))),
                ("pods", pods.map(|pods| json!(pods))),
                ("accelerators", devices.map(|count| json!([{"resource": "nvidia.com/gpu", "count": count}]))),
            ];
            for (name, value) in quantities {
                if let Some(value) = value {
                    quota[name] = value;
                }
            }
            let mut agency = agency("mois", &json!({
                "tier": "Central", "securityGrade": "High", "namespaces": namespaces, "quota": quota, "deletionPolicy": policy,
            }));
            let uid = |name: &str, same: bool| if same { format!("uid-of-{name}") } else { "another".to_owned() };
            let known: Vec<Value> =
                known.into_iter().map(|(name, same)| json!({"name": name, "uid": uid(name, same)})).collect();
            agency.status = Some(serde_json::from_value(json!({"deletionPolicy": recorded, "namespaces": known})).unwrap());
            agency.metadata.deletion_timestamp = deleting.then(noon);
            agency
        },
    )
}

fn hard() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(select(&LIMITED[..]), 0..60i64, 0..4).prop_map(|hard| {
        let text = |key: &str, amount: i64| match key {
            "requests.cpu" => format!("{amount}300m"),
            "requests.memory" => format!("{amount}Gi"),
            _ => amount.to_string(),
        };
        hard.into_iter()
            .map(|(key, amount)| (key.to_owned(), text(key, amount)))
            .collect()
    })
}

fn namespace() -> impl Strategy<Value = NamespaceFacts> {
    let label = option::weighted(0.8, select(vec!["mois", "mois", "mois", "nts"]));
    let terminating = option::weighted(0.15, select(vec!["", "a finalizer is left"]));
    let retained = btree_set(select(vec!["AgencySystem mois/docs"]), 0..2);
    (label, terminating, hard(), retained).prop_map(|(label, terminating, hard, retained)| NamespaceFacts {
        uid: String::new(),
        agency: label.map(str::to_owned),
        terminating: terminating.map(str::to_owned),
        used: hard.clone(),
        hard,
        retained: retained.into_iter().map(str::to_owned).collect(),
    })
}

fn demands() -> impl Strategy<Value = Vec<SystemDemand>> {
    let one = (
        select(&NAMESPACES[..]),
        btree_map(select(&LIMITED[..]), 0..60_000i64, 0..4),
    );
    vec(one, 0..5).prop_map(|systems| {
        let of = |(place, (namespace, asked)): (usize, (&str, BTreeMap<&str, i64>))| {
            let mut amounts = Amounts::default();
            for (key, amount) in asked {
                amounts.add(&resource(key), amount);
            }
            SystemDemand {
                system: SystemKey::new(namespace, format!("s{place}")),
                amounts,
            }
        };
        systems.into_iter().enumerate().map(of).collect()
    })
}

#[derive(Clone, Debug)]
struct Seen {
    crd_terminating: bool,
    namespaces: BTreeMap<String, NamespaceFacts>,
    owned: BTreeSet<ObjectKey>,
    systems: Vec<SystemDemand>,
}

impl Seen {
    fn facts<'a>(&self, platform: &'a Platform) -> AgencyFacts<'a> {
        AgencyFacts {
            crd_terminating: self.crd_terminating,
            namespaces: self.namespaces.clone(),
            owned: self.owned.clone(),
            systems: self.systems.clone(),
            ..agency_facts(platform)
        }
    }
}

fn seen() -> impl Strategy<Value = Seen> {
    let key = (
        select(&ObjectKind::ALL[1..]),
        select(&NAMESPACES[..]),
        select(vec!["maru", "maru-default-deny", "mine"]),
    )
        .prop_map(|(kind, namespace, name)| ObjectKey::new(kind, namespace, name));
    let namespaces = btree_map(select(&NAMESPACES[..]), namespace(), 0..5);
    (prop::bool::weighted(0.1), namespaces, btree_set(key, 0..6), demands()).prop_map(
        |(crd_terminating, namespaces, owned, systems)| {
            let with_uid = |(name, facts): (&str, NamespaceFacts)| {
                (
                    name.to_owned(),
                    NamespaceFacts {
                        uid: format!("uid-of-{name}"),
                        ..facts
                    },
                )
            };
            Seen {
                crd_terminating,
                namespaces: namespaces.into_iter().map(with_uid).collect(),
                owned,
                systems,
            }
        },
    )
}

/// What the quotas of the agency's namespaces allow together.
fn allowed(facts: &AgencyFacts<'_>) -> BTreeMap<&'static str, i64> {
    // A protected namespace is nobody's, whatever its label says.
    let ours = || {
        let namespaces = facts.namespaces.iter();
        namespaces.filter(|(name, there)| !name.starts_with("kube-") && there.agency.as_deref() == Some("mois"))
    };
    let of = |key: &str| {
        ours()
            .filter_map(|(_, there)| there.hard.get(key))
            .map(|hard| resource(key).read(hard).unwrap())
            .sum()
    };
    LIMITED.into_iter().map(|key| (key, of(key))).collect()
}

fn total(agency: &Agency, key: &str) -> Option<i64> {
    let quota = &agency.spec.quota;
    let text = match key {
        "requests.cpu" => quota.cpu.clone(),
        "requests.memory" => quota.memory.clone(),
        "pods" => quota.pods.map(|pods| pods.to_string()),
        _ => quota.accelerators.first().map(|device| device.count.to_string()),
    };
    text.map(|text| resource(key).read(&text).unwrap())
}

proptest! {
    #[test]
    fn the_same_facts_always_give_the_same_plan(agency in an_agency(), seen in seen()) {
        let platform = platform();
        let mut facts = seen.facts(&platform);
        let plan = plan_agency(&agency, &facts);
        prop_assert_eq!(&plan, &plan_agency(&agency, &facts));
        let applied = carry_out_agency(&plan, &mut facts, |_| {});
        let status = report_agency(&agency, &facts, &applied, &noon());
        prop_assert_eq!(&status, &report_agency(&agency, &facts, &applied, &noon()));
        prop_assert!(status.conditions.iter().all(|condition| !condition.message.is_empty()));
    }

    #[test]
    fn at_no_moment_do_the_namespaces_have_more_than_the_agency(agency in an_agency(), seen in seen()) {
        let platform = platform();
        let mut facts = seen.facts(&platform);
        let mut worst = Vec::new();
        for round in 0..8 {
            let plan = plan_agency(&agency, &facts);
            let mut written = 0;
            let mut before = None;
            carry_out_agency(&plan, &mut facts, |facts| {
                let is_quota = plan.objects.get(written).is_some_and(|object| object.key.kind == ObjectKind::ResourceQuota);
                written += 1;
                let now = allowed(facts);
                if is_quota {
                    for (key, sum) in &now {
                        let Some(total) = total(&agency, key) else { continue };
                        // A total that was lowered takes the writes that give back to come true.
                        let bound = before.as_ref().map_or(i64::MAX, |before: &BTreeMap<&str, i64>| before[key]).max(total);
                        if *sum > bound {
                            worst.push(format!("round {round}: {key} {sum} of {total}"));
                        }
                    }
                }
                before = Some(now);
            });
        }
        prop_assert_eq!(worst, Vec::<String>::new());
    }

    #[test]
    fn carried_out_a_few_times_there_is_nothing_left_to_write(agency in an_agency(), seen in seen()) {
        let platform = platform();
        let mut facts = seen.facts(&platform);
        for _ in 0..8 {
            carry_out_agency(&plan_agency(&agency, &facts), &mut facts, |_| {});
        }
        let last = plan_agency(&agency, &facts);
        carry_out_agency(&last, &mut facts, |_| {});
        let again = plan_agency(&agency, &facts);
        prop_assert_eq!(&again.objects, &last.objects);
        prop_assert_eq!(&again.sweep, &Vec::new());
        let all_written = !again.objects.is_empty()
            && facts.namespaces.values().all(|there| there.terminating.is_none());
        for (key, sum) in allowed(&facts) {
            if let Some(total) = total(&agency, key).filter(|_| all_written) {
                prop_assert!(sum <= total, "{} {} of {}", key, sum, total);
            }
        }
    }

    #[test]
    fn no_namespace_goes_or_is_taken_by_a_mistake(agency in an_agency(), seen in seen()) {
        let platform = platform();
        let facts = seen.facts(&platform);
        let plan = plan_agency(&agency, &facts);
        let status = agency.status.as_ref().unwrap();
        let said = agency.spec.deletion_policy == DeletionPolicy::Delete
            && status.deletion_policy == Some(DeletionPolicy::Delete);
        let deleted = agency.metadata.deletion_timestamp.is_some() && !facts.crd_terminating;
        for key in &plan.sweep {
            if key.kind.holds_tenant_data() {
                prop_assert!(said && deleted && plan.uids.contains_key(key), "{}", key);
                prop_assert!(facts.namespaces.values().all(|there| !deleted || there.agency.as_deref() != Some("mois")
                    || there.retained.is_empty() || status.namespaces.iter().all(|known| known.uid != there.uid)));
            }
        }
        for object in plan.objects.iter().filter(|object| object.key.kind == ObjectKind::Namespace) {
            let there = facts.namespaces.get(&object.key.name);
            let known = status.namespaces.iter().any(|known| Some(&known.uid) == there.map(|there| &there.uid));
            prop_assert!(
                there.is_none_or(|there| there.agency.as_deref() == Some("mois") || there.agency.is_none() && known),
                "{} is not the agency's",
                object.key
            );
            prop_assert!(!object.key.name.starts_with("kube-"));
            prop_assert_eq!(plan.uids.contains_key(&object.key), there.is_some());
        }
    }
}
