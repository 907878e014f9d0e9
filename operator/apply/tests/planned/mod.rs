//! A cluster that only keeps what is written, and a memory of it that can be made anew, as after a restart.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, core::GroupVersionKind};
use maru_apply::{Applier, Observed, Seen};
use maru_crds::{Agency, AgencySystem};
use maru_desire::{
    AgencyBinding, AgencyFacts, GatewayRef, ObjectKey, Outcome, Plan, Platform, RouteApi, SystemFacts, plan_agency,
    plan_system,
};
use maru_test_cluster::{Cluster, ClusterOptions, RealNode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;

/// A real API server in which nothing acts.
pub(crate) async fn cluster() -> (Cluster, Client) {
    let options = ClusterOptions {
        node: RealNode::Never,
        controllers: false,
        gateway_api: true,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client().unwrap();
    (cluster, client)
}

/// What was seen of objects, by key.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<ObjectKey, Seen>>);

impl Observed for Memory {
    fn seen(&self, key: &ObjectKey) -> Option<Seen> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn wrote(&self, key: &ObjectKey, _: &DynamicObject, seen: Seen) {
        self.0.lock().unwrap().insert(key.clone(), seen);
    }

    fn gone(&self, key: &ObjectKey) {
        self.0.lock().unwrap().remove(key);
    }
}

/// An object as the API server has it.
pub(crate) async fn live(client: &Client, key: &ObjectKey) -> Option<DynamicObject> {
    let kind = GroupVersionKind::gvk(key.kind.group(), key.kind.version(), key.kind.kind());
    let resource = ApiResource::from_gvk_with_plural(&kind, key.kind.plural());
    let api: Api<DynamicObject> = if key.namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &key.namespace, &resource)
    };
    api.get_opt(&key.name).await.unwrap()
}

/// Carries a plan out with a memory that knows the cluster as it is, and says what was written, swept or refused.
pub(crate) async fn carry_out(client: &Client, plan: &Plan) -> Vec<String> {
    let memory = Memory::default();
    for key in plan.objects.iter().map(|object| &object.key).chain(&plan.sweep) {
        if let Some(object) = live(client, key).await {
            memory.wrote(key, &object, Seen::of(&object, plan.owner.field_manager()));
        }
    }
    let applied = Applier::new(client.clone()).carry_out(plan, &memory).await.unwrap();
    let changed = applied
        .outcomes()
        .iter()
        .filter(|(_, outcome)| *outcome != Outcome::Unchanged);
    changed.map(|(key, outcome)| format!("{key}: {outcome:?}")).collect()
}

/// Carries a plan out twice, the second time as after a restart: nothing may be refused, and nothing be left to write.
pub(crate) async fn settles(client: &Client, what: &str, plan: &Plan) {
    let first = carry_out(client, plan).await;
    let refused: Vec<_> = first
        .iter()
        .filter(|said| !said.ends_with("Written") && !said.ends_with("Deleted"))
        .collect();
    assert!(refused.is_empty(), "{what}: {refused:#?}");
    assert_eq!(carry_out(client, plan).await, [""; 0], "{what}, carried out again");
}

/// All examples of a kind.
pub(crate) fn examples<K: DeserializeOwned>(kind: &str) -> Vec<K> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples");
    let documents = std::fs::read_dir(folder).unwrap().flat_map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    });
    documents
        .filter(|document| document["kind"] == kind)
        .map(|document| serde_json::from_value(document).unwrap())
        .collect()
}

pub(crate) fn platform(route_api: RouteApi) -> Platform {
    Platform {
        route_api,
        gateway: Some(GatewayRef {
            namespace: "gateway".to_owned(),
            name: "public".to_owned(),
            section: Some("https".to_owned()),
            tls: true,
        }),
        ingress_class: Some("public".to_owned()),
        edge_namespaces: BTreeSet::from(["gateway".to_owned()]),
        api_servers: vec![serde_json::from_value(json!({"cidr": "10.0.0.1/32", "port": 6443})).unwrap()],
        metering_finalizer: true,
        ..Platform::default()
    }
}

/// The plan of an agency of which nothing is there yet.
pub(crate) fn agency_plan(agency: &Agency, platform: &Platform) -> Plan {
    let facts = AgencyFacts {
        platform,
        crd_terminating: false,
        namespaces: BTreeMap::new(),
        owned: BTreeSet::new(),
        systems: Vec::new(),
    };
    plan_agency(agency, &facts)
}

/// The plan of a system of which these objects are there; `observed` changes what else was.
pub(crate) fn system_plan(
    system: &AgencySystem,
    platform: &Platform,
    observed: impl FnOnce(&mut SystemFacts<'_>),
) -> Plan {
    let mut facts = SystemFacts {
        platform,
        crd_terminating: false,
        namespace_terminating: false,
        agency: AgencyBinding::Found {
            name: system.metadata.namespace.clone().unwrap(),
            blocked: None,
        },
        owned: BTreeSet::new(),
        deployments: BTreeMap::new(),
        pods: BTreeMap::new(),
        volumes: BTreeMap::new(),
        routes: BTreeMap::new(),
        hosts_taken: BTreeMap::new(),
        callers: BTreeMap::new(),
        may_call: BTreeSet::new(),
    };
    observed(&mut facts);
    plan_system(system, &facts)
}
