//! The fault-free run of a setup, with which other runs are compared.
//!
//! Owns what is kept of it: the objects when it had settled, and how often what was done until then. It is the run of
//! seed 0, made twice; where the two differ, or it does not settle, nothing is compared.

use std::collections::{BTreeMap, BTreeSet};

use fake_apiserver::json::{self, CompactString, Value};
use fake_apiserver::server::ApiServer;

use super::View;
use crate::event::{ChangeKind, EffectKind, Event, ObjectKey, Phase, ReplicaId, RequestId};
use crate::isolation::Made;
use crate::trace::{Record, Trace};

/// What is kept of the fault-free run.
pub(crate) struct Reference {
    pub(super) objects: Vec<(ObjectKey, Value)>,
    pub(super) effects: Effects,
}

impl Reference {
    /// Reads the fault-free run, made twice; `base` is the server it began with, `operators` names each replica's
    /// operator. An error says why nothing can be compared with it.
    pub(crate) fn read(
        made: Option<Made>,
        base: &ApiServer,
        operators: &[String],
    ) -> Result<Reference, String> {
        let lost = |why: &dyn std::fmt::Display| format!("the fault-free run gave nothing: {why}");
        let made = made.ok_or_else(|| lost(&"it was not made"))?;
        let run = made.run.map_err(|why| lost(&why))?;
        let again = made.again.and_then(Result::ok);
        let same = again.is_some_and(|again| run.trace.first_difference(&again.trace).is_none());
        if !same {
            return Err("the fault-free run is not the same twice".to_owned());
        }
        if run.verdict.settled.is_none() {
            return Err("the fault-free run does not settle".to_owned());
        }
        Ok(Self::until_settled(&run.trace, base, operators))
    }

    fn until_settled(trace: &Trace, base: &ApiServer, operators: &[String]) -> Reference {
        let mut objects: BTreeMap<ObjectKey, Value> = super::view::objects(base)
            .map(|(key, object)| (key, object.value().clone()))
            .collect();
        let mut effects = Effects::default();
        let settled = |record: &&Record| {
            !matches!(
                record.event,
                Event::PhaseBegan {
                    phase: Phase::Settled
                }
            )
        };
        for record in trace.records.iter().take_while(settled) {
            effects.note(record, |replica| {
                operators.get(replica.0 as usize).map_or("", String::as_str)
            });
            for change in record.event.changes() {
                let body = trace.bodies.get(&change.body);
                match body.and_then(|body| json::parse(body).ok()) {
                    Some(object) if change.kind != ChangeKind::Deleted => {
                        objects.insert(change.object.clone(), object);
                    }
                    _ => {
                        objects.remove(&change.object);
                    }
                }
            }
        }
        Reference {
            objects: objects.into_iter().collect(),
            effects,
        }
    }
}

/// What was done: by which operator, what, to what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Effect {
    pub(super) operator: String,
    /// `create` or `delete`; of a service `send` too.
    pub(super) verb: &'static str,
    pub(super) resource: String,
    pub(super) namespace: String,
}

/// How often what was done.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) counts: BTreeMap<Effect, u64>,
    deletes: BTreeSet<RequestId>,
    /// Objects that somebody has deleted already, by uid.
    deleted: BTreeSet<String>,
}

impl Effects {
    /// Notes what an event did; gives what an operator did by it, with the object.
    pub(super) fn note<'a>(
        &mut self,
        record: &Record,
        operator_of: impl Fn(ReplicaId) -> &'a str + Copy,
    ) -> Vec<(Effect, ObjectKey)> {
        if let Event::RequestSent { request, call, .. } = &record.event
            && call.verb.starts_with("delete")
        {
            self.deletes.insert(*request);
        }
        let by = match &record.event {
            Event::RequestCommitted {
                replica, request, ..
            } => Some((*replica, self.deletes.contains(request))),
            _ => None,
        };
        let mut done = Vec::new();
        for change in record.event.changes() {
            let marked = || {
                change
                    .fields
                    .iter()
                    .any(|f| f == "/metadata/deletionTimestamp")
            };
            let deleted = (change.kind == ChangeKind::Deleted || marked())
                && self.deleted.insert(change.uid.clone());
            let verb = match (by, change.kind) {
                (Some(_), ChangeKind::Created) => "create",
                (Some((_, true)), _) if deleted => "delete",
                _ => continue,
            };
            if matches!(change.object.resource.as_str(), "leases" | "events") {
                continue;
            }
            let effect = Effect {
                operator: by
                    .map_or("", |(replica, _)| operator_of(replica))
                    .to_owned(),
                verb,
                resource: change.object.resource.to_string(),
                namespace: change.object.namespace.to_string(),
            };
            *self.counts.entry(effect.clone()).or_default() += 1;
            done.push((effect, change.object.clone()));
        }
        done.extend(self.note_services(record, operator_of));
        done
    }

    /// Notes what a call changed in a simulated service; the object is named by the service and what it changed there.
    fn note_services<'a>(
        &mut self,
        record: &Record,
        operator_of: impl Fn(ReplicaId) -> &'a str,
    ) -> Vec<(Effect, ObjectKey)> {
        let Event::ServiceCommitted {
            replica,
            service,
            effects,
            ..
        } = &record.event
        else {
            return Vec::new();
        };
        let mut done = Vec::new();
        for one in effects {
            let verb = match one.kind {
                EffectKind::Created => "create",
                EffectKind::Deleted => "delete",
                EffectKind::Accepted => "send",
                EffectKind::Changed | EffectKind::CleanedUp => continue,
            };
            let effect = Effect {
                operator: operator_of(*replica).to_owned(),
                verb,
                resource: format!("{service}: {}", one.object),
                namespace: String::new(),
            };
            *self.counts.entry(effect.clone()).or_default() += 1;
            let object = ObjectKey {
                group: CompactString::default(),
                resource: service.into(),
                namespace: CompactString::default(),
                name: one.object.as_str().into(),
            };
            done.push((effect, object));
        }
        done
    }
}

impl View<'_> {
    /// The fault-free run, if a property of the setup compares with it.
    pub(super) fn reference(&self) -> Result<&Reference, &str> {
        match self.reference {
            Some(Ok(reference)) => Ok(reference),
            Some(Err(why)) => Err(why),
            None => Err("the fault-free run was not made"),
        }
    }
}
