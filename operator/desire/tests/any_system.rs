//! What holds of every system, whatever its spec says and whatever was observed.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{carry_out, facts, named, noon, platform};
use maru_crds::{AgencySystem, DeletionPolicy};
use maru_desire::{
    AGENCY_LABEL, AgencyBinding, DeploymentFacts, Finalizer, GatewayRef, HostHolder, MANAGED_BY_LABEL, ObjectKey,
    ObjectKind, Platform, PodFacts, RouteApi, RouteFacts, SYSTEM_LABEL, SystemFacts, SystemKey, Trouble, VolumeFacts,
    demand, plan_system, report_system,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SYSTEMS: [&str; 7] = [
    "a",
    "a-b",
    "a-b-c",
    "b",
    "default",
    "docs",
    "a-very-long-name-of-a-system-of-an-agency",
];
const PARTS: [&str; 6] = ["a", "b", "b-c", "web", "store", "twenty-two-characters-"];
const VOLUMES: [&str; 2] = ["data", "cache"];
const HOSTS: [&str; 3] = ["docs.example", "a.docs.example", "b.example"];
const SIZES: [&str; 6] = ["1Gi", "1.5Gi", "2G", "1500m", "9223372036854775807", "much"];

fn quantity() -> impl Strategy<Value = &'static str> {
    select(vec!["100m", "0.1", "2", "1e3", "", "-1", "64Mi", "1.0000000001", "9E"])
}

fn volume() -> impl Strategy<Value = Value> {
    let persistent = (
        select(&SIZES[..]),
        select(vec!["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"]),
    )
        .prop_map(|(size, mode)| json!({"persistent": {"size": size, "accessMode": mode}}));
    let kind = prop_oneof![
        persistent,
        Just(json!({"emptyDir": {}})),
        Just(json!({"emptyDir": {"size": "1Gi"}})),
        Just(json!({"secretRef": {"name": "s"}})),
        Just(json!({"configMapRef": {"name": "c"}})),
    ];
    (select(&VOLUMES[..]), kind).prop_map(|(name, mut volume)| {
        volume["name"] = json!(name);
        volume["mountPath"] = json!(format!("/{name}"));
        volume
    })
}

fn replicas() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        (0..5).prop_map(|fixed| json!({"fixed": fixed})),
        (1..4, 0..4).prop_map(|(min, more)| json!({"min": min, "max": min + more})),
    ]
}

fn part() -> impl Strategy<Value = Value> {
    (select(&PARTS[..]), quantity(), quantity(), vec(volume(), 0..3)).prop_map(|(name, cpu, memory, volumes)| {
        json!({"name": name, "image": "maru.dev/hello:1", "resources": {"cpu": cpu, "memory": memory}, "volumes": volumes})
    })
}

fn component() -> impl Strategy<Value = Value> {
    (
        part(),
        replicas(),
        vec((1..4, any::<bool>(), select(vec!["TCP", "UDP"])), 0..3),
    )
        .prop_map(|(mut component, replicas, ports)| {
            component["replicas"] = replicas;
            component["ports"] = ports
                .into_iter()
                .map(|(port, expose, protocol)| {
                    json!({"name": format!("p{port}"), "port": port, "expose": expose, "protocol": protocol})
                })
                .collect();
            component
        })
}

fn job() -> impl Strategy<Value = Value> {
    part().prop_map(|mut job| {
        job["schedule"] = json!("@daily");
        job
    })
}

fn host() -> impl Strategy<Value = Value> {
    let path = select(vec!["/", "/api", "/api/"]);
    (
        select(&HOSTS[..]),
        select(&PARTS[..]),
        option::of(1..4),
        path,
        option::of(select(vec!["t", "u"])),
    )
        .prop_map(|(host, component, port, path, tls)| {
            let tls = tls.map(|name| json!({"name": name}));
            json!({"host": host, "component": component, "port": port, "path": path, "tlsSecretRef": tls})
        })
}

fn spec() -> impl Strategy<Value = Value> {
    let policy = select(vec!["Retain", "Delete"]);
    let run = (vec(component(), 0..4), vec(job(), 0..3), vec(host(), 0..4), any::<bool>(), policy).prop_map(
        |(components, jobs, hosts, suspended, policy)| {
            json!({
                "components": components, "jobs": jobs, "hosts": hosts, "suspended": suspended, "deletionPolicy": policy,
                "callers": [{"namespace": "nts", "name": "hometax"}],
            })
        },
    );
    prop_oneof![
        6 => run,
        1 => Just(json!({"selector": {"matchLabels": {"app": "docs"}}})),
        1 => Just(json!({"external": {"location": "there"}})),
    ]
}

fn system() -> impl Strategy<Value = AgencySystem> {
    let recorded = option::of(select(vec![DeletionPolicy::Retain, DeletionPolicy::Delete]));
    (select(&SYSTEMS[..]), spec(), recorded, any::<bool>()).prop_map(|(name, spec, recorded, deleting)| {
        let mut system = named(name, &spec);
        let status = json!({"deletionPolicy": recorded});
        system.status = Some(serde_json::from_value(status).unwrap());
        system.metadata.deletion_timestamp = deleting.then(noon);
        system
    })
}

/// What was observed, but for the platform that facts borrow.
#[derive(Clone, Debug)]
struct Seen {
    agency: AgencyBinding,
    crd_terminating: bool,
    namespace_terminating: bool,
    owned: BTreeSet<ObjectKey>,
    deployments: Vec<(String, DeploymentFacts)>,
    volumes: Vec<(String, VolumeFacts)>,
    taken: BTreeSet<&'static str>,
    trouble: Option<Trouble>,
    accepted: Option<bool>,
}

impl Seen {
    fn facts<'a>(&self, platform: &'a Platform, system: &AgencySystem) -> SystemFacts<'a> {
        let mut facts = facts(platform);
        facts.agency = self.agency.clone();
        facts.crd_terminating = self.crd_terminating;
        facts.namespace_terminating = self.namespace_terminating;
        facts.owned.clone_from(&self.owned);
        // Some of what the system itself would have, half written.
        let plan = plan_system(system, &house::facts(platform));
        facts
            .owned
            .extend(plan.objects.into_iter().step_by(2).map(|object| object.key));
        facts.deployments = self.deployments.iter().cloned().collect();
        facts.volumes = self.volumes.iter().cloned().collect();
        let claims = facts
            .owned
            .iter()
            .filter(|key| key.kind == ObjectKind::PersistentVolumeClaim);
        for (key, (_, volume)) in claims.zip(self.volumes.iter().cycle()) {
            facts.volumes.insert(key.name.clone(), volume.clone());
        }
        let holder = HostHolder {
            system: SystemKey::new("nts", "hometax"),
            agency: None,
        };
        facts.hosts_taken = self
            .taken
            .iter()
            .map(|host| ((*host).to_owned(), holder.clone()))
            .collect();
        let pods = PodFacts {
            total: 2,
            ready: 1,
            waiting: self.trouble.clone(),
            ..PodFacts::default()
        };
        facts.pods = PARTS
            .iter()
            .chain(&[""])
            .map(|part| ((*part).to_owned(), pods.clone()))
            .collect();
        let route = RouteFacts {
            accepted: self.accepted,
            message: "no".to_owned(),
        };
        let routes = facts.owned.iter().map(|key| (key.name.clone(), route.clone()));
        facts.routes = routes.collect();
        facts
    }
}

fn binding() -> impl Strategy<Value = AgencyBinding> {
    let name = || "mois".to_owned();
    prop_oneof![
        1 => Just(AgencyBinding::Missing),
        1 => Just(AgencyBinding::NotReady { name: name(), why: "soon".to_owned() }),
        2 => Just(AgencyBinding::Found { name: name(), blocked: Some("2 of 1".to_owned()) }),
        6 => Just(AgencyBinding::Found { name: name(), blocked: None }),
    ]
}

fn deployment() -> impl Strategy<Value = DeploymentFacts> {
    let failure = option::of(select(vec!["FailedCreate", "ProgressDeadlineExceeded"]));
    (0..6, 0..6, 0..6, 0..6, any::<bool>(), any::<bool>(), failure).prop_map(
        |(desired, updated, available, total, replicas_ours, observed_generation_current, failure)| DeploymentFacts {
            desired,
            updated,
            available,
            ready: available,
            total,
            replicas_ours,
            observed_generation_current,
            failure: failure.map(|reason| Trouble {
                reason: reason.to_owned(),
                message: "is forbidden: no".to_owned(),
            }),
        },
    )
}

fn claim() -> impl Strategy<Value = VolumeFacts> {
    (select(&SIZES[..]), any::<bool>()).prop_map(|(requested, terminating)| VolumeFacts {
        uid: "uid".to_owned(),
        requested: requested.to_owned(),
        bound: true,
        terminating,
    })
}

fn key() -> impl Strategy<Value = ObjectKey> {
    let name = select(vec![
        "a-b",
        "a-b-c",
        "docs-web",
        "docs-store",
        "docs",
        "docs-store.data",
        "a.docs.example",
    ]);
    (select(&ObjectKind::ALL[1..]), name).prop_map(|(kind, name)| ObjectKey::new(kind, "mois", name))
}

fn seen() -> impl Strategy<Value = Seen> {
    let rarely = || prop::bool::weighted(0.1);
    let waiting = select(vec![
        "ErrImagePull",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "Unschedulable",
        "Odd",
    ]);
    let whole = (
        binding(),
        rarely(),
        rarely(),
        option::of(waiting),
        option::of(any::<bool>()),
    );
    let parts = (
        btree_set(key(), 0..6),
        btree_map(select(&PARTS[..]), deployment(), 0..4),
        btree_map(select(vec!["docs-store.data", "a-b.data", "b-a.cache"]), claim(), 1..3),
        btree_set(select(&HOSTS[..]), 0..2),
    );
    (whole, parts).prop_map(|(whole, (owned, deployments, volumes, taken))| {
        let (agency, crd_terminating, namespace_terminating, waiting, accepted) = whole;
        Seen {
            agency,
            crd_terminating,
            namespace_terminating,
            owned,
            deployments: deployments
                .into_iter()
                .map(|(name, facts)| (name.to_owned(), facts))
                .collect(),
            volumes: volumes
                .into_iter()
                .map(|(name, facts)| (name.to_owned(), facts))
                .collect(),
            taken,
            trouble: waiting.map(|reason| Trouble {
                reason: reason.to_owned(),
                message: String::new(),
            }),
            accepted,
        }
    })
}

fn settings() -> impl Strategy<Value = Platform> {
    let gateway = GatewayRef {
        namespace: "gateway".to_owned(),
        name: "public".to_owned(),
        section: None,
        tls: true,
    };
    (
        select(vec![RouteApi::HttpRoute, RouteApi::Ingress]),
        option::of(Just(gateway)),
        any::<bool>(),
    )
        .prop_map(|(route_api, gateway, metering_finalizer)| Platform {
            route_api,
            gateway,
            metering_finalizer,
            ..platform()
        })
}

/// What the API server would drop or write in another way.
fn oddities(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(format!("{path}: null")),
        Value::Array(list) if list.is_empty() => found.push(format!("{path}: an empty list")),
        Value::Array(list) => {
            for (place, one) in list.iter().enumerate() {
                oddities(one, &format!("{path}[{place}]"), found);
            }
        }
        Value::Object(map) => {
            for (name, one) in map {
                oddities(one, &format!("{path}.{name}"), found);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn the_same_facts_always_give_the_same_plan(system in system(), seen in seen(), platform in settings()) {
        let facts = seen.facts(&platform, &system);
        let plan = plan_system(&system, &facts);
        prop_assert_eq!(&plan, &plan_system(&system, &facts));
        prop_assert_eq!(demand(&system), demand(&system));
        let mut after = facts.clone();
        let applied = carry_out(&plan, &mut after);
        let status = report_system(&system, &after, &applied, &noon());
        prop_assert_eq!(&status, &report_system(&system, &after, &applied, &noon()));
        prop_assert!(status.conditions.iter().any(|condition| condition.type_ == "Ready"));
        prop_assert!(status.conditions.iter().all(|condition| !condition.message.is_empty()));
    }

    #[test]
    fn a_plan_that_was_carried_out_has_nothing_left_to_write(system in system(), seen in seen(), platform in settings()) {
        let mut facts = seen.facts(&platform, &system);
        let first = plan_system(&system, &facts);
        carry_out(&first, &mut facts);
        let second = plan_system(&system, &facts);
        prop_assert_eq!(&second.objects, &first.objects);
        prop_assert_eq!(&second.sweep, &Vec::new());
        if system.metadata.deletion_timestamp.is_some() {
            prop_assert_eq!(second.finalizer, Finalizer::Release);
        }
    }

    #[test]
    fn nothing_that_holds_data_goes_by_a_mistake(system in system(), seen in seen(), platform in settings()) {
        let facts = seen.facts(&platform, &system);
        let plan = plan_system(&system, &facts);
        let recorded = system.status.as_ref().unwrap().deletion_policy;
        let said = system.spec.deletion_policy == DeletionPolicy::Delete && recorded == Some(DeletionPolicy::Delete);
        let deleted = system.metadata.deletion_timestamp.is_some() && !facts.crd_terminating;
        for key in &plan.sweep {
            prop_assert!(facts.owned.contains(key), "{} is not the system's", key);
            if key.kind.holds_tenant_data() {
                prop_assert!(said && deleted, "{}", key);
                prop_assert!(plan.uids.contains_key(key), "{} could be a successor of the same name", key);
            }
        }
    }

    #[test]
    fn every_object_is_in_its_place_and_in_the_api_servers_own_form(system in system(), seen in seen(), platform in settings()) {
        let plan = plan_system(&system, &seen.facts(&platform, &system));
        let mut kinds = Vec::new();
        let mut keys = BTreeSet::new();
        for object in &plan.objects {
            let metadata = &object.body["metadata"];
            prop_assert!(keys.insert(&object.key), "{} is there twice", object.key);
            prop_assert_eq!(&metadata["name"], &json!(object.key.name));
            prop_assert_eq!(&metadata["namespace"], &json!("mois"));
            prop_assert_eq!(&object.body["kind"], &json!(object.key.kind.kind()));
            prop_assert_eq!(&metadata["labels"][AGENCY_LABEL], &json!("mois"));
            prop_assert_eq!(&metadata["labels"][SYSTEM_LABEL], &json!(system.metadata.name));
            prop_assert_eq!(&metadata["labels"][MANAGED_BY_LABEL], &json!("maru"));
            let mut found = Vec::new();
            oddities(&object.body, "", &mut found);
            prop_assert_eq!(found, Vec::<String>::new(), "{}", object.key);
            kinds.push(object.key.kind);
        }
        prop_assert!(kinds.is_sorted(), "what others refer to comes first");
    }

    #[test]
    fn two_systems_of_a_namespace_never_want_the_same_object(one in system(), other in system()) {
        prop_assume!(one.metadata.name != other.metadata.name);
        let platform = platform();
        let keys = |system: &AgencySystem| -> BTreeSet<ObjectKey> {
            plan_system(system, &facts(&platform)).objects.into_iter().map(|object| object.key).collect()
        };
        prop_assert_eq!(keys(&one).intersection(&keys(&other)).count(), 0);
    }
}
