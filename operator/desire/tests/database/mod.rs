//! A dataset on a real server: what is planned is run, until nothing is left to plan.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use maru_crds::{DataGrant, DatabaseServer, Dataset, GrantRef};
use maru_desire::SystemKey;
use maru_desire::dataset::{
    CATALOG_SQL, Catalog, Consent, DataPlan, DatasetFacts, FIND_DATABASE_SQL, FoundDatabase, GrantNames, KEPT_SQL,
    Login, Logins, Placing, Step, Transaction, database_name, place_database, plan_database, user_roles,
};
use maru_test_postgres::shared;
use postgres::{Client, NoTls};
use serde_json::{Value, json};

/// A database with people of two regions, a consumer, an owning system, and an administrator who is no superuser.
pub(crate) struct Place {
    pub(crate) dataset: Dataset,
    pub(crate) server: DatabaseServer,
    pub(crate) database: String,
    pub(crate) grants: Vec<DataGrant>,
    pub(crate) systems: BTreeMap<SystemKey, Consent>,
    pub(crate) admin_role: String,
    pub(crate) admin: Client,
    /// Which of their two roles the systems log in as.
    pub(crate) turns: Vec<usize>,
    number: u32,
}

pub(crate) fn try_connect(user: &str, database: &str) -> Result<Client, postgres::Error> {
    let address = format!(
        "host=127.0.0.1 port={} user='{user}' password=word dbname='{}'",
        shared().port(),
        database.replace('\\', "\\\\").replace('\'', "\\'")
    );
    Client::connect(&address, NoTls)
}

/// Hexadecimal digits that no other place of this program has.
fn uid(number: u32, rest: &str) -> String {
    let digits = rest.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let rest: String = digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect();
    format!(
        "{:016x}{rest}",
        u64::from(number) + (u64::from(std::process::id()) << 32)
    )
}

impl Place {
    /// A dataset with people in it, placed and prepared.
    pub(crate) fn new() -> Self {
        let mut place = Self::empty(&json!({}));
        place.place();
        place.settle();
        place
            .admin
            .batch_execute(
                "INSERT INTO person SELECT n, 'person ' || n, CASE WHEN n <= 100 THEN 'Seoul' ELSE 'Busan' END, 1000000 + n \
                 FROM generate_series(1, 109) n; ANALYZE person",
            )
            .unwrap();
        place
    }

    /// A dataset that is not on the server yet, with these fields of its spec besides.
    pub(crate) fn empty(more: &Value) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let admin_role = format!("admin{number}");
        let roles = format!("CREATE ROLE {admin_role} LOGIN CREATEROLE CREATEDB PASSWORD 'word'");
        shared().sql("postgres", &roles).unwrap();
        let open = |name: &str, kind: &str| json!({"name": name, "type": kind, "classification": "Open"});
        let mut spec = json!({
            "systems": [{"name": "registry"}, {"name": "statistics", "access": "ReadOnly"}],
            "schemas": [{"name": "public", "tables": [{"name": "person", "primaryKey": ["id"], "columns": [
                {"name": "id", "type": "integer", "nullable": false, "classification": "Open"},
                open("name", "text"), open("region", "text"), open("income", "integer"),
            ]}]}],
        });
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let namespace = format!("owner{number}");
        let metadata = json!({"name": "people", "namespace": namespace, "uid": uid(number, "ds")});
        let dataset: Dataset = serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "Dataset", "metadata": metadata, "spec": spec,
        }))
        .unwrap();
        let server: DatabaseServer = serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"},
            "spec": {"host": "127.0.0.1", "adminSecretRef": {"name": "admin"}},
        }))
        .unwrap();
        let adopted = dataset.spec.adopt.as_ref().map(|adopt| adopt.database.clone());
        let mut systems = BTreeMap::new();
        for (place, key) in [
            SystemKey::new(&*namespace, "registry"),
            SystemKey::new(&*namespace, "statistics"),
            SystemKey::new("consumer", "docs"),
        ]
        .into_iter()
        .enumerate()
        {
            let uid = format!("{:016x}", (u64::from(number) << 8) + place as u64);
            systems.insert(
                key,
                Consent {
                    uid,
                    accepts: BTreeSet::new(),
                },
            );
        }
        Self {
            database: adopted.unwrap_or_else(|| database_name(&namespace, "people")),
            admin: try_connect(&admin_role, "postgres").unwrap(),
            dataset,
            server,
            grants: Vec::new(),
            systems,
            admin_role,
            turns: vec![0],
            number,
        }
    }

    pub(crate) fn facts(&self) -> DatasetFacts<'_> {
        DatasetFacts {
            dataset: &self.dataset,
            agency: "owner",
            server: &self.server,
            database: &self.database,
            grants: &self.grants,
            systems: &self.systems,
        }
    }

    /// What placing the database comes to now.
    pub(crate) fn placing(&mut self) -> Placing {
        let mut admin = try_connect(&self.admin_role, "postgres").unwrap();
        let owner = maru_desire::dataset::DatasetNames::new(self.facts().uid()).owner;
        let row = admin.query_one(FIND_DATABASE_SQL, &[&self.database, &owner]).unwrap();
        let found: FoundDatabase = serde_json::from_str(row.get(0)).unwrap();
        place_database(&self.facts(), None, &found, |_| false, 0)
    }

    /// Makes the database and connects to it.
    pub(crate) fn place(&mut self) {
        let mut admin = try_connect(&self.admin_role, "postgres").unwrap();
        match self.placing() {
            Placing::Run(transactions) => transactions.iter().for_each(|one| run(&mut admin, one)),
            other => panic!("{other:?}"),
        }
        assert_eq!(self.placing(), Placing::Placed);
        self.admin = try_connect(&self.admin_role, &self.database).unwrap();
    }

    /// Makes and fills the database by what was rehearsed without it.
    pub(crate) fn carry_out(&mut self, rehearsed: &maru_desire::dataset::Rehearsed) {
        let mut admin = try_connect(&self.admin_role, "postgres").unwrap();
        rehearsed.place.iter().for_each(|one| run(&mut admin, one));
        self.admin = try_connect(&self.admin_role, &self.database).unwrap();
        rehearsed.fill.iter().for_each(|one| run(&mut self.admin, one));
    }

    pub(crate) fn catalog(&mut self) -> Catalog {
        self.admin.batch_execute("SET search_path = pg_catalog").unwrap();
        let text: String = self.admin.query_one(CATALOG_SQL, &[]).unwrap().get(0);
        let mut catalog = Catalog::read(&text).unwrap();
        if catalog.prepared {
            let kept: String = self.admin.query_one(KEPT_SQL, &[]).unwrap().get(0);
            catalog.read_kept(&kept).unwrap();
        }
        self.admin.batch_execute("RESET search_path").unwrap();
        catalog
    }

    pub(crate) fn plan(&mut self) -> DataPlan {
        let catalog = self.catalog();
        let login = |role: String| Login {
            role,
            fingerprint: "print".to_owned(),
        };
        let logins: Logins = self
            .systems
            .iter()
            .map(|(key, system)| {
                let roles = user_roles(self.facts().uid(), &system.uid);
                (
                    key.clone(),
                    self.turns.iter().map(|turn| login(roles[*turn].clone())).collect(),
                )
            })
            .collect();
        plan_database(&self.facts(), &catalog, &logins)
    }

    /// Runs plans until nothing is left, and gives the first one.
    pub(crate) fn settle(&mut self) -> DataPlan {
        let first = self.plan();
        let mut plan = first.clone();
        for _ in 0..4 {
            for step in &plan.steps {
                if let Step::Run(transaction) = step {
                    run(&mut self.admin, transaction);
                }
            }
            plan = self.plan();
            if plan.steps.is_empty() {
                return first;
            }
        }
        panic!("the plan does not come to an end: {plan:#?}");
    }

    /// Opens a grant that ends in `seconds`, with these fields besides.
    pub(crate) fn grant(&mut self, name: &str, seconds: i32, more: &Value) -> GrantNames {
        let names = self.agree(name, seconds, more);
        self.settle();
        names
    }

    /// Both sides agree on a grant, and nothing is done yet.
    pub(crate) fn agree(&mut self, name: &str, seconds: i32, more: &Value) -> GrantNames {
        let sql = format!(
            "SELECT to_char(now() at time zone 'UTC' - interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SSZ'), \
             to_char(now() at time zone 'UTC' + interval '{seconds} s', 'YYYY-MM-DD\"T\"HH24:MI:SSZ')"
        );
        let times = self.admin.query_one(&sql, &[]).unwrap();
        let mut spec = json!({
            "datasetRef": {"name": "people"}, "consumer": {"namespace": "consumer", "name": "docs"}, "classification": "Open",
            "purpose": "p", "notBefore": times.get::<_, String>(0), "notAfter": times.get::<_, String>(1),
            "tables": [{"name": "person", "columns": ["id", "name"], "filter": "region = 'Seoul'"}],
        });
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let (uid, namespace) = (uid(self.number, name), self.facts().namespace().to_owned());
        let grant = json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DataGrant", "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
        });
        self.grants.push(serde_json::from_value(grant).unwrap());
        let reference = GrantRef {
            namespace,
            name: name.to_owned(),
        };
        let consumer = self.systems.get_mut(&SystemKey::new("consumer", "docs")).unwrap();
        consumer.accepts.insert(reference);
        GrantNames::new(&uid)
    }

    /// The consumer takes its consent back.
    pub(crate) fn withdraw(&mut self, name: &str) {
        let consumer = self.systems.get_mut(&SystemKey::new("consumer", "docs")).unwrap();
        consumer.accepts.retain(|grant| grant.name != name);
        self.settle();
    }

    /// The login role of a system.
    pub(crate) fn user(&self, namespace: &str, system: &str) -> String {
        let [role, _] = self.users(namespace, system);
        role
    }

    /// The two login roles of a system.
    pub(crate) fn users(&self, namespace: &str, system: &str) -> [String; 2] {
        user_roles(
            self.facts().uid(),
            &self.systems[&SystemKey::new(namespace, system)].uid,
        )
    }

    pub(crate) fn try_consumer(&self) -> Result<Client, postgres::Error> {
        try_connect(&self.user("consumer", "docs"), &self.database)
    }

    pub(crate) fn consumer(&self) -> Client {
        self.try_consumer().unwrap()
    }

    /// A session of one of the dataset's own systems.
    pub(crate) fn own(&self, system: &str) -> Client {
        let user = self.user(self.facts().namespace(), system);
        try_connect(&user, &self.database).unwrap()
    }

    /// Runs SQL as the superuser, who is a stranger here.
    pub(crate) fn stranger(&self, sql: &str) {
        shared().sql(&self.database, sql).unwrap();
    }
}

fn run(client: &mut Client, transaction: &Transaction) {
    let complete = |statement: &maru_desire::dataset::Statement| match &statement.password_of {
        Some(_) => format!("{}'word'", statement.sql),
        None => statement.sql.clone(),
    };
    if transaction.apart {
        for statement in &transaction.statements {
            client.batch_execute(&complete(statement)).unwrap();
        }
        return;
    }
    let mut open = client.transaction().unwrap();
    open.batch_execute("SET LOCAL search_path = pg_catalog").unwrap(); // as every session of Maru's has it
    for statement in &transaction.statements {
        let sql = complete(statement);
        open.batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    open.commit().unwrap();
}
