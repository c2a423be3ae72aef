//! The control plane and the cluster's users: chores, lagging caches, the workload.

use std::sync::Arc;

use bytes::Bytes;
use fake_apiserver::actors::Chore;
use fake_apiserver::registry::ResourceId;
use fake_apiserver::server::{self, Output, ServerId};
use fake_apiserver::store::{Entry, Origin};
use serde_json::Value;

use super::requests::StatusHead;
use super::{World, timestamp};
use crate::choice::Choice;
use crate::entropy;
use crate::event::{Change, Event, WatchId};
use crate::setup::{Action, Fault, PatchType, Target};
use crate::time::SimTime;

/// A watch cache that does not follow the store.
pub(super) struct Lag {
    pub(super) server: ServerId,
    pub(super) resource: ResourceId,
    pub(super) over: bool,
}

impl World<'_> {
    /// Enables chores that the server offers now and disables those that it does not offer any more.
    pub(super) fn refresh_chores(&mut self) {
        let offered = self.server.chores(timestamp(entropy::now()));
        let gone = |chore: &Chore| !offered.contains(chore);
        let dropped: Vec<(Chore, u64)> = self
            .chores
            .iter()
            .filter(|(chore, _)| gone(chore))
            .map(|(chore, id)| (chore.clone(), *id))
            .collect();
        for (chore, number) in dropped {
            self.chores.remove(&chore);
            self.agenda.remove(&Choice::Chore(number));
        }
        for chore in offered {
            let parked = self.parked_chores.values().any(|one| *one == chore);
            if let Chore::Bookmark { watch } = chore {
                self.offer_bookmark(WatchId(watch.0));
            } else if chore.is_settling()
                && !parked
                && !self.chores.contains_key(&chore)
                && !self.is_lagging(&chore)
            {
                self.offer_chore(chore);
            }
        }
        match self.server.next_deadline() {
            Some(at) => {
                let at = SimTime(
                    u64::try_from(at.micros())
                        .unwrap_or(0)
                        .saturating_sub(crate::time::EPOCH_UNIX_US),
                );
                self.agenda
                    .put(Choice::ServerDeadline, at.max(entropy::now()));
            }
            None => {
                self.agenda.remove(&Choice::ServerDeadline);
            }
        }
        self.refresh_stand_ins();
    }

    /// Unlike other chores a bookmark keeps nobody from being at rest: there is always another.
    fn offer_bookmark(&mut self, watch: WatchId) {
        let choice = Choice::Bookmark(watch);
        if self.watches.contains_key(&watch) && !self.agenda.contains(&choice) {
            let latency = self.chooser.delay("bookmark", self.setup.timing.bookmark);
            self.agenda.put(choice, SimTime(entropy::now().0 + latency));
        }
    }

    /// An API server tells a watch how far it has come; nothing, if it has nothing new to say any more.
    pub(super) fn bookmark(&mut self, watch: WatchId) {
        let watch = server::WatchId(watch.0);
        self.serve(|server, cx| server.perform(cx, &Chore::Bookmark { watch }));
    }

    fn offer_chore(&mut self, chore: Chore) {
        let timing = self.setup.timing;
        let latency = match &chore {
            Chore::Advance { server, resource } => {
                if self.begin_lag(*server, *resource) {
                    return;
                }
                self.latency("cache", timing.cache)
            }
            _ => self.latency("chore", timing.chore),
        };
        self.chores_offered += 1;
        self.chores.insert(chore, self.chores_offered);
        self.agenda.put(
            Choice::Chore(self.chores_offered),
            SimTime(entropy::now().0 + latency),
        );
    }

    pub(super) fn do_chore(&mut self, number: u64) {
        let Some((chore, _)) = self.chores.iter().find(|(_, id)| **id == number) else {
            return;
        };
        let chore = chore.clone();
        self.chores.remove(&chore);
        let outputs = self.with_server(|server, cx| server.perform(cx, &chore));
        let waits = outputs.iter().find_map(|output| match output {
            Output::Call { id, .. } => Some(*id),
            _ => None,
        });
        if let Some(id) = waits {
            // Its changes are told once it has got past its webhooks.
            self.parked_chores.insert(id, chore);
            self.take_outputs(outputs);
            return self.refresh_chores();
        }
        self.chore_done(&chore);
        self.take_outputs(outputs);
        self.refresh_chores();
    }

    /// A chore that waited for webhooks has come to its end.
    pub(super) fn chore_ended(&mut self, id: server::RequestId) {
        if let Some(chore) = self.parked_chores.remove(&id) {
            self.chore_done(&chore);
        }
    }

    fn chore_done(&mut self, chore: &Chore) {
        let (changes, entries) =
            self.take_changes(|entry| matches!(entry.origin, Origin::Actor(_)));
        // A cache that moves says so by the events of its watches.
        if !matches!(chore, Chore::Advance { .. }) {
            let step = self.record_with(
                Event::ChoreDone {
                    chore: format!("{chore:?}"),
                    changes,
                },
                entries,
            );
            self.cause = Some(step);
        }
    }

    fn is_lagging(&self, chore: &Chore) -> bool {
        let Chore::Advance { server, resource } = chore else {
            return false;
        };
        self.lags
            .iter()
            .any(|lag| !lag.over && lag.server == *server && lag.resource == *resource)
    }

    /// Takes back what the caches of a resource were about to do.
    pub(super) fn stop_caches(&mut self, of: ResourceId) {
        let stopped =
            |chore: &Chore| matches!(chore, Chore::Advance { resource, .. } if *resource == of);
        let numbers: Vec<u64> = self
            .chores
            .iter()
            .filter(|(chore, _)| stopped(chore))
            .map(|(_, number)| *number)
            .collect();
        self.chores.retain(|chore, _| !stopped(chore));
        for number in numbers {
            self.agenda.remove(&Choice::Chore(number));
        }
    }

    /// Whether a fault of the plan stops this cache now.
    fn begin_lag(&mut self, server: ServerId, resource: ResourceId) -> bool {
        if !self.may_strike() {
            return false;
        }
        let Some(row) = self.server.registry().by_id(resource) else {
            return false;
        };
        let (kind, plural) = (row.kind.to_string(), row.plural.to_string());
        let struck = self.strike("cache", |_, fault| match fault {
            Fault::Lag {
                kind: of,
                server: on,
                ..
            } => {
                of.as_ref().is_none_or(|of| of.eq_ignore_ascii_case(&kind))
                    && on.is_none_or(|on| on == server.0)
            }
            _ => false,
        });
        let Some(Fault::Lag { lasting, .. }) = struck else {
            return false;
        };
        let for_us = self.chooser.delay("lag", *lasting);
        self.lags.push(Lag {
            server,
            resource,
            over: false,
        });
        let number = self.lags.len() as u32 - 1;
        self.record(Event::CacheLagged {
            server: server.0,
            resource: plural,
            for_us,
        });
        self.agenda
            .put(Choice::Unlag(number), SimTime(entropy::now().0 + for_us));
        true
    }

    pub(super) fn unlag(&mut self, number: u32) {
        let lag = &mut self.lags[number as usize];
        lag.over = true;
        let (server, resource) = (lag.server.0, lag.resource);
        let resource = self
            .server
            .registry()
            .by_id(resource)
            .map(|row| row.plural.to_string());
        self.record(Event::CacheCaughtUp {
            server,
            resource: resource.unwrap_or_default(),
        });
        self.refresh_chores();
    }

    /// Whether the control plane has nothing to do and every cache has caught up.
    pub(super) fn control_is_idle(&self) -> bool {
        self.chores.is_empty()
            && self.stand_ins.are_idle()
            && self.parked_chores.is_empty()
            && self.lags.iter().all(|lag| lag.over)
    }

    pub(super) fn workload_is_done(&self) -> bool {
        self.workload_next >= self.setup.workload.len() && self.parked_steps.is_empty()
    }

    pub(super) fn offer_workload(&mut self) {
        if let Some(step) = self.setup.workload.get(self.workload_next) {
            self.agenda.put(
                Choice::Workload(self.workload_next as u32),
                step.at.max(entropy::now()),
            );
        }
    }

    pub(super) fn do_workload(&mut self) {
        let setup = self.setup;
        let number = self.workload_next as u32;
        let Some(step) = setup.workload.get(self.workload_next) else {
            return;
        };
        self.workload_next += 1;
        match &step.action {
            Action::Restart { operator, down } => {
                let what = format!("restart {operator}");
                let (changes, status) = (Vec::new(), 0);
                let event = Event::WorkloadDone {
                    step: number,
                    what,
                    status,
                    message: String::new(),
                    changes,
                };
                self.cause = Some(self.record(event));
                for id in self.replica_ids() {
                    if self.operator_of(id) == operator {
                        self.stop(id, *down);
                    }
                }
            }
            action => self.do_request(number, action),
        }
        self.offer_workload();
    }

    fn do_request(&mut self, number: u32, action: &Action) {
        let (what, request) = match self.request_of(action) {
            Ok(request) => request,
            Err(message) => {
                let what = format!("step {number}");
                let changes = Vec::new();
                self.record(Event::WorkloadDone {
                    step: number,
                    what,
                    status: 404,
                    message,
                    changes,
                });
                return;
            }
        };
        let id = self.gate.next_request();
        let id = server::RequestId(id.0);
        let outputs = self.with_server(|server, cx| server.submit(cx, ServerId(0), id, request));
        let mut reply = None;
        let mut rest = Vec::new();
        for output in outputs {
            match output {
                Output::Reply { id: of, response } if of == id => reply = Some(response),
                other => rest.push(other),
            }
        }
        match reply {
            Some(response) => {
                let (changes, entries) = self.take_changes(|_| true);
                self.step_done(number, what, &response, changes, entries);
            }
            None => {
                self.parked_steps.insert(id, (number, what));
            }
        }
        self.take_outputs(rest);
        self.refresh_chores();
    }

    /// A request of the workload has been answered.
    pub(super) fn step_done(
        &mut self,
        number: u32,
        what: String,
        response: &http::Response<Bytes>,
        changes: Vec<Change>,
        entries: Vec<Arc<Entry>>,
    ) {
        let status = response.status().as_u16();
        let mut message = String::new();
        if status >= 400 {
            let head: StatusHead = serde_json::from_slice(response.body()).unwrap_or_default();
            message = head.message;
        }
        let event = Event::WorkloadDone {
            step: number,
            what,
            status,
            message,
            changes,
        };
        self.cause = Some(self.record_with(event, entries));
    }

    /// The request of a step, and what it does in words.
    fn request_of(&self, action: &Action) -> Result<(String, http::Request<Bytes>), String> {
        let (method, target, subresource, content, body) = match action {
            Action::Create { object } => (
                http::Method::POST,
                target_of(object),
                None,
                "application/json",
                Some(object.clone()),
            ),
            Action::Replace { object } => (
                http::Method::PUT,
                target_of(object),
                None,
                "application/json",
                Some(object.clone()),
            ),
            Action::Patch {
                target,
                subresource,
                patch,
                body,
            } => {
                let content = match patch {
                    PatchType::Json => "application/json-patch+json",
                    PatchType::Merge => "application/merge-patch+json",
                    PatchType::Strategic => "application/strategic-merge-patch+json",
                    PatchType::Apply => "application/apply-patch+yaml",
                };
                (
                    http::Method::PATCH,
                    target.clone(),
                    subresource.as_deref(),
                    content,
                    Some(body.clone()),
                )
            }
            Action::Delete {
                target,
                propagation_policy,
            } => {
                let options = propagation_policy.as_ref().map(|policy| {
                    serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy})
                });
                (
                    http::Method::DELETE,
                    target.clone(),
                    None,
                    "application/json",
                    options,
                )
            }
            Action::Restart { .. } => return Err("a restart is no request".to_owned()),
        };
        let (group, version) = super::begin::group_version(&target.api_version);
        let Some(row) = self
            .server
            .registry()
            .find_kind(group, version, &target.kind)
        else {
            return Err(format!(
                "no matches for kind {:?} in version {:?}",
                target.kind, target.api_version
            ));
        };
        let mut path = super::begin::collection_path(row, &target.namespace);
        if method != http::Method::POST {
            path = format!("{path}/{}", target.name);
        }
        if let Some(subresource) = subresource {
            path = format!("{path}/{subresource}");
        }
        let query = match action {
            Action::Patch {
                patch: PatchType::Apply,
                ..
            } => "?fieldManager=workload&force=true",
            Action::Delete { .. } => "",
            _ => "?fieldManager=workload",
        };
        let verb = crate::event::Call::read(&method, &path, "");
        let body = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        let what = if verb.name.is_empty() {
            format!("{verb}/{}", target.name)
        } else {
            verb.to_string()
        };
        http::Request::builder()
            .method(method)
            .uri(format!("{path}{query}"))
            .header(http::header::CONTENT_TYPE, content)
            .body(body)
            .map(|request| (what, request))
            .map_err(|error| error.to_string())
    }
}

/// The object that a whole object describes.
fn target_of(object: &Value) -> Target {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Target {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    }
}
