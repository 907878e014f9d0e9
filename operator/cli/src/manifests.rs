//! The manifests that rating goes by: agencies, systems and the price book, in any number of files and documents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use maru_crds::{AgencyNamespace, AgencySystem, CostPool, RateCard, SystemSubscription};
use maru_ledger::{LedgerError, Naming};
use maru_meter::Rounding;
use maru_rate::{PriceBook, Refusal, World, card};
use serde::Deserialize;

use crate::document::Document;
use crate::problem::Problem;

/// Kinds that rating reads.
const READ: &str = "Agency, AgencySystem, SystemSubscription, CostPool and RateCard";
/// Kinds of Maru that say nothing about money.
const SILENT: [&str; 5] = ["DatabaseServer", "Dataset", "DataGrant", "BillingRun", "Bill"];

/// What the files say.
#[derive(Debug)]
pub(crate) struct Manifests {
    /// The prices.
    pub(crate) book: PriceBook,
    /// Agencies and systems.
    pub(crate) world: World,
    /// What was passed over.
    pub(crate) warnings: Vec<String>,
}

/// What bills take from an `Agency`. Who tries a price out need not say what nodes its pods may use.
#[derive(Deserialize)]
struct BilledAgency {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: BilledAgencySpec,
}

#[derive(Default, Deserialize)]
struct BilledAgencySpec {
    #[serde(default)]
    namespaces: Vec<AgencyNamespace>,
}

#[derive(Default)]
struct Found {
    /// Which documents describe an object, to name the second one.
    seen: BTreeSet<String>,
    agencies: Vec<BilledAgency>,
    systems: Vec<(Document, AgencySystem)>,
    subscriptions: Vec<(Document, SystemSubscription)>,
    pools: Vec<(Document, CostPool)>,
    cards: Vec<(Document, RateCard)>,
    warnings: Vec<String>,
}

impl Manifests {
    /// Reads all documents of the files, one of which is the price book.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, Problem> {
        let found = Found::read(files)?;
        let book = found
            .book()?
            .ok_or_else(|| Problem::new("no RateCard in the files of -f: allowed is exactly one"))?;
        Ok(Self {
            book,
            world: found.world()?,
            warnings: found.warnings,
        })
    }

    /// Reads the same and names it, for bills that say what they were made from.
    pub(crate) fn read_and_name(files: &[PathBuf], naming: &mut Naming) -> Result<(), Problem> {
        Found::read(files)?.name(naming).map_err(Problem::new)
    }

    /// The same agencies and systems with the price book of another file, which may hold nothing else that counts.
    pub(crate) fn with_card(&self, file: &Path) -> Result<Self, Problem> {
        let found = Found::read(&[file.to_owned()])?;
        let book = found.book()?;
        Ok(Self {
            book: book.ok_or_else(|| Problem::of(file, "has no RateCard: allowed is exactly one"))?,
            world: self.world.clone(),
            warnings: self.warnings.clone(),
        })
    }

    /// Reads what needs no prices, with the rounding of the price book where there is one.
    pub(crate) fn read_world(files: &[PathBuf]) -> Result<(World, Rounding), Problem> {
        let found = Found::read(files)?;
        Ok((found.world()?, found.book()?.map(|book| book.mode).unwrap_or_default()))
    }
}

impl Found {
    fn read(files: &[PathBuf]) -> Result<Self, Problem> {
        let mut found = Self::default();
        for file in files {
            for document in Document::read(file)? {
                found.add(document)?;
            }
        }
        Ok(found)
    }

    /// Names all that bills depend on.
    fn name(&self, naming: &mut Naming) -> Result<(), LedgerError> {
        let named = |metadata: &ObjectMeta| {
            (
                metadata.namespace.clone().unwrap_or_default(),
                metadata.name.clone().unwrap_or_default(),
            )
        };
        for agency in &self.agencies {
            let namespaces: BTreeSet<&str> = agency
                .spec
                .namespaces
                .iter()
                .map(|namespace| namespace.name.as_str())
                .collect();
            naming.object("Agency", "", &named(&agency.metadata).1, &namespaces)?;
        }
        for (_, system) in &self.systems {
            let (namespace, name) = named(&system.metadata);
            naming.object("AgencySystem", &namespace, &name, &system.spec)?;
        }
        for (_, subscription) in &self.subscriptions {
            let (namespace, name) = named(&subscription.metadata);
            naming.object("SystemSubscription", &namespace, &name, &subscription.spec)?;
        }
        for (_, pool) in &self.pools {
            naming.object("CostPool", "", &named(&pool.metadata).1, &pool.spec)?;
        }
        self.cards.iter().try_for_each(|(_, card)| naming.rate_card(&card.spec))
    }

    /// Who there is. Agencies come first: they say whose the namespaces are.
    fn world(&self) -> Result<World, Problem> {
        let mut world = World::default();
        for agency in &self.agencies {
            let name = agency.metadata.name.as_deref().unwrap_or_default();
            let namespaces = agency.spec.namespaces.iter().map(|namespace| namespace.name.clone());
            let default = agency.spec.namespaces.is_empty().then(|| name.to_owned());
            world.add_agency(name, namespaces.chain(default));
        }
        for (document, system) in &self.systems {
            let (namespace, name) = (system.metadata.namespace.as_deref(), system.metadata.name.as_deref());
            let added = world.add_system(namespace.unwrap_or_default(), name.unwrap_or_default(), &system.spec);
            added.map_err(|refusal| document.refuse(&refusal))?;
        }
        for (document, subscription) in &self.subscriptions {
            let namespace = subscription.metadata.namespace.as_deref().unwrap_or_default();
            let added = world.add_subscription(namespace, &subscription.spec);
            added.map_err(|refusal| document.refuse(&refusal))?;
        }
        for (document, pool) in &self.pools {
            let added = world.add_cost_pool(pool.metadata.name.as_deref().unwrap_or_default(), &pool.spec);
            added.map_err(|refusal| document.refuse(&refusal))?;
        }
        Ok(world)
    }

    fn add(&mut self, document: Document) -> Result<(), Problem> {
        let head = document.head()?;
        let group = head.api_version.split('/').next().unwrap_or_default();
        if group != maru_crds::GROUP {
            self.warnings.push(format!(
                "{} of {} is passed over: {READ} are read",
                head.kind, head.api_version
            ));
            return Ok(());
        }
        if head.api_version != format!("{}/{}", maru_crds::GROUP, maru_crds::VERSION) {
            let message = format!(
                "`{}` is not known: allowed is {}/{}",
                head.api_version,
                maru_crds::GROUP,
                maru_crds::VERSION
            );
            return Err(document.refuse(&Refusal::new("apiVersion", message)));
        }
        match head.kind.as_str() {
            "Agency" => {
                let agency: BilledAgency = document.part()?;
                self.named(&document, &head.kind, &agency.metadata, false)?;
                self.agencies.push(agency);
            }
            "AgencySystem" => {
                let system: AgencySystem = document.object()?;
                self.named(&document, &head.kind, &system.metadata, true)?;
                self.systems.push((document, system));
            }
            "SystemSubscription" => {
                let subscription: SystemSubscription = document.object()?;
                self.named(&document, &head.kind, &subscription.metadata, true)?;
                self.subscriptions.push((document, subscription));
            }
            "CostPool" => {
                let pool: CostPool = document.object()?;
                self.named(&document, &head.kind, &pool.metadata, false)?;
                self.pools.push((document, pool));
            }
            "RateCard" => {
                let card: RateCard = document.object()?;
                self.named(&document, &head.kind, &card.metadata, false)?;
                self.cards.push((document, card));
            }
            kind if SILENT.contains(&kind) => {}
            kind => {
                return Err(document.refuse(&Refusal::new(
                    "kind",
                    format!("`{kind}` is not read here: allowed are {READ}"),
                )));
            }
        }
        Ok(())
    }

    /// An object has a name, a namespace where its kind has one, and is described once.
    fn named(
        &mut self,
        document: &Document,
        kind: &str,
        metadata: &ObjectMeta,
        namespaced: bool,
    ) -> Result<(), Problem> {
        let Some(name) = metadata.name.as_deref().filter(|name| !name.is_empty()) else {
            return Err(document.refuse(&Refusal::new("metadata.name", "is missing: allowed is a name")));
        };
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        if namespaced && namespace.is_empty() {
            return Err(document.refuse(&Refusal::new(
                "metadata.namespace",
                format!("is missing: allowed is the namespace of the {kind}"),
            )));
        }
        if !self.seen.insert(format!("{kind} {namespace}/{name}")) {
            let message = format!("{kind} `{name}` is there twice: allowed is one document for an object");
            return Err(document.refuse(&Refusal::new("metadata.name", message)));
        }
        Ok(())
    }

    fn book(&self) -> Result<Option<PriceBook>, Problem> {
        match self.cards.as_slice() {
            [] => Ok(None),
            [(document, card)] => card::read(&card.spec)
                .map(Some)
                .map_err(|refusal| document.refuse(&refusal)),
            [_, (document, _), ..] => {
                Err(document.refuse(&Refusal::new("kind", "is a second RateCard: allowed is exactly one")))
            }
        }
    }
}
