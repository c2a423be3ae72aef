//! What properties see of the world: the store, the history, the replicas. Nothing in it can be changed.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_apiserver::json::Value;
use fake_apiserver::server::ApiServer;
use fake_apiserver::store::{Entry, Object};

use crate::event::{Effect, Event, ObjectKey, Phase, ReplicaId, Revision};
use crate::knowledge::Knowledge;
use crate::property::reference::Reference;
use crate::setup::Setup;
use crate::telemetry::Exposition;
use crate::time::SimTime;
use crate::trace::Trace;

/// What a replica last read or wrote of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// The holder it names.
    pub holder: String,
    /// When the replica saw it.
    pub seen: SimTime,
    /// When it was renewed, by the clock of the replica that looks: its `renewTime`, on the master clock.
    pub renewed: SimTime,
    /// How long it is good for.
    pub duration: Duration,
}

/// A replica as properties see it.
#[derive(Clone, Debug)]
pub struct ReplicaInfo {
    /// Its number.
    pub id: ReplicaId,
    /// Its name, which is also its identity in Leases.
    pub name: String,
    /// Its operator's name.
    pub operator: String,
    /// Whether its process is alive.
    pub running: bool,
    /// What it last saw of each Lease.
    pub leases: BTreeMap<ObjectKey, LeaseSeen>,
}

/// What there is to see.
pub struct View<'w> {
    pub(crate) setup: &'w Setup,
    pub(crate) server: &'w ApiServer,
    pub(crate) knowledge: &'w Knowledge,
    pub(crate) reference: Option<&'w Result<Reference, String>>,
    /// What has happened.
    pub trace: &'w Trace,
    /// The replicas.
    pub replicas: Vec<&'w ReplicaInfo>,
    /// The phase the run is in.
    pub phase: Phase,
    /// The master clock.
    pub now: SimTime,
}

/// Names the object that an entry of the store's log is about.
pub(crate) fn key_of(server: &ApiServer, entry: &Entry) -> ObjectKey {
    let row = server.registry().by_id(entry.resource);
    ObjectKey {
        group: row.map(|row| row.group.clone()).unwrap_or_default(),
        resource: row.map(|row| row.plural.clone()).unwrap_or_default(),
        namespace: entry.key.namespace().into(),
        name: entry.key.name().into(),
    }
}

/// Every live object of a server with its name.
pub(super) fn objects(server: &ApiServer) -> impl Iterator<Item = (ObjectKey, &Object)> {
    let store = server.store();
    store.resources().flat_map(move |resource| {
        let row = server.registry().by_id(resource);
        let group = row.map(|row| row.group.clone()).unwrap_or_default();
        let plural = row.map(|row| row.plural.clone()).unwrap_or_default();
        store.objects(resource).map(move |(key, object)| {
            let key = ObjectKey {
                group: group.clone(),
                resource: plural.clone(),
                namespace: key.namespace().into(),
                name: key.name().into(),
            };
            (key, &**object)
        })
    })
}

impl View<'_> {
    /// Names the object that an entry of the store's log is about.
    pub fn key_of(&self, entry: &Entry) -> ObjectKey {
        key_of(self.server, entry)
    }

    /// Every live object with its name.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectKey, &Object)> {
        objects(self.server)
    }

    /// Live objects of a kind, such as `ConfigMap`, in order of their names.
    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        let row = self.server.registry().rows().find(|row| row.kind == kind);
        let Some(row) = row else { return Vec::new() };
        self.server
            .store()
            .objects(row.id)
            .map(|(_, object)| object.value())
            .collect()
    }

    /// Live objects of a type of kube's, in order of their names. Objects that do not read as that type are left out.
    #[cfg(feature = "kube-5")]
    pub fn list<K>(&self) -> Vec<K>
    where
        K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
    {
        let (group, plural) = (K::group(&()), K::plural(&()));
        let row = self
            .server
            .registry()
            .rows()
            .find(|row| row.is(&group, &plural));
        let Some(row) = row else { return Vec::new() };
        let objects = self.server.store().objects(row.id);
        let read =
            |value: &Value| serde_json::from_slice(&fake_apiserver::json::to_vec(value)).ok();
        objects
            .filter_map(|(_, object)| read(object.value()))
            .collect()
    }

    /// The live object with that uid.
    pub fn by_uid(&self, uid: &str) -> Option<(ObjectKey, &Object)> {
        self.objects().find(|(_, object)| object.uid() == uid)
    }

    /// The names of the replicas of an operator whose last look at a Lease names them its holder, by their own clock.
    pub fn active_leaders(&self, operator: &str) -> Vec<&str> {
        self.active_holders(operator)
            .into_iter()
            .map(|(replica, _, _)| replica.name.as_str())
            .collect()
    }

    /// The replicas behind [`View::active_leaders`], with the Lease that each believes to hold.
    pub(crate) fn active_holders(
        &self,
        operator: &str,
    ) -> Vec<(&ReplicaInfo, &ObjectKey, &LeaseSeen)> {
        let of = self
            .replicas
            .iter()
            .filter(|replica| replica.running && replica.operator == operator);
        of.filter_map(|replica| {
            let mut leases = replica.leases.iter();
            let (key, lease) = leases.find(|(_, lease)| {
                lease.holder == replica.name && lease.renewed + lease.duration > self.now
            })?;
            Some((*replica, key, lease))
        })
        .collect()
    }

    /// The holder that a Lease object names.
    pub fn lease_holder(&self, namespace: &str, name: &str) -> Option<String> {
        let leases = self.of_kind("Lease");
        let lease = leases.into_iter().find(|lease| {
            lease.str_at(&["metadata", "namespace"]) == namespace
                && lease.str_at(&["metadata", "name"]) == name
        })?;
        Some(lease.str_at(&["spec", "holderIdentity"]).to_owned())
            .filter(|holder| !holder.is_empty())
    }

    /// What a replica's metrics said when they were last scraped.
    pub fn metrics(&self, replica: ReplicaId) -> Exposition {
        let scraped = self
            .trace
            .records
            .iter()
            .rev()
            .find_map(|record| match &record.event {
                Event::MetricsScraped { replica: of, body } if *of == replica => Some(body),
                _ => None,
            });
        let text = scraped.and_then(|body| self.trace.bodies.get(body));
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        Exposition::read(text.unwrap_or_default()).0
    }

    /// What changed in a simulated service, in order.
    pub fn effects(&self, service: &str) -> impl Iterator<Item = &Effect> {
        let all = self.trace.records.iter();
        let of =
            all.filter_map(move |record| record.event.effects().filter(|(of, _)| *of == service));
        of.flat_map(|(_, effects)| effects)
    }

    /// What a replica is called.
    pub fn name_of(&self, replica: ReplicaId) -> &str {
        let names = &self.trace.replicas;
        names
            .get(replica.0 as usize)
            .map_or("a replica", String::as_str)
    }

    /// The operator of a replica.
    pub fn operator_of(&self, replica: ReplicaId) -> &str {
        self.replicas
            .iter()
            .find(|one| one.id == replica)
            .map_or("", |one| one.operator.as_str())
    }

    /// An object as it was at a revision; none if it was not there.
    pub(crate) fn object_at(&self, of: &Entry, revision: Revision) -> Option<&Object> {
        let history = self.server.store().history_since(of.resource, 0);
        let mut before =
            history.filter(|entry| entry.revision <= revision.0 && entry.key == of.key);
        before
            .next_back()
            .filter(|entry| !entry.deleted)
            .map(|entry| &*entry.object)
    }

    /// Whether the change of an object keeps the world from being settled.
    pub(crate) fn counts(&self, object: &ObjectKey, fields: Option<&[String]>) -> bool {
        let noise = &self.setup.settle.noise;
        let noisy = |field: &String| {
            noise.iter().any(|prefix| {
                field
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        !matches!(object.resource.as_str(), "leases" | "events")
            && fields.is_none_or(|fields| !fields.iter().all(noisy))
    }
}
