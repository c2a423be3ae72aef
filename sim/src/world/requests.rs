//! Requests and replies on their way.

use bytes::Bytes;
use fake_apiserver::server::{self, Output, ServerId};
use fake_apiserver::store::Origin;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::World;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{Call, Event, ObjectKey, ReconcileId, ReplicaId, RequestId, StepId, WatchId};
use crate::gate::{Answer, Body, Sent, TransportError};
use crate::knowledge::{About, about, items};
use crate::setup::{CrashPoint, Fault, RequestFilter};
use crate::time::SimTime;

/// A request between a replica's sending it and the reply's arrival.
pub(super) struct InFlight {
    pub(super) replica: ReplicaId,
    pub(super) incarnation: u32,
    pub(super) reconcile: Option<ReconcileId>,
    pub(super) server: u32,
    pub(super) call: Call,
    pub(super) name: String,
    pub(super) id: RequestId,
    /// The service it goes to; none for the API server.
    pub(super) service: Option<String>,
    /// It is delayed until then, or the server does not answer before.
    pub(super) not_before: SimTime,
    /// The trace it belongs to, as it says.
    pub(super) traceparent: Option<String>,
    sent: SimTime,
    http: Option<http::Request<Bytes>>,
    /// None once the client has gone.
    reply: Option<oneshot::Sender<Answer>>,
    answer: Option<Answer>,
    /// The body of the answer, to read what the client learns by it.
    learnt: Bytes,
    status: u16,
    /// The record of its last move.
    moved: StepId,
    committed: bool,
    /// It has a selector: its list does not show everything.
    selects: bool,
}

impl InFlight {
    pub(super) fn new(
        sent: Sent,
        incarnation: u32,
        server: u32,
        call: Call,
        name: String,
        moved: StepId,
    ) -> InFlight {
        InFlight {
            replica: sent.replica,
            incarnation,
            reconcile: sent.reconcile,
            server,
            call,
            name,
            id: sent.request,
            service: None,
            not_before: SimTime::ZERO,
            traceparent: None,
            sent: entropy::now(),
            http: Some(sent.http),
            reply: Some(sent.reply),
            answer: None,
            learnt: Bytes::new(),
            status: 0,
            moved,
            committed: false,
            selects: false,
        }
    }

    /// A service has answered; the answer leaves after that long.
    pub(super) fn answered(&mut self, response: http::Response<Body>, takes_us: u64) {
        self.committed = true;
        self.status = response.status().as_u16();
        self.answer = Some(Ok(response));
        if takes_us > 0 {
            self.not_before = SimTime(entropy::now().0 + takes_us);
        }
    }

    /// It does not get anywhere.
    pub(super) fn fail(&mut self, error: TransportError) {
        self.committed = true;
        self.answer = Some(Err(error));
    }

    pub(super) fn is_committed(&self) -> bool {
        self.committed
    }

    /// Whether it may be tried again after what its client was told. That an object is there already is an answer, and
    /// a Lease is fought for all the time.
    fn was_refused(&self) -> bool {
        let refused = match self.status {
            409 => reason_of(&self.learnt) != "AlreadyExists",
            status => matches!(status, 429 | 500..),
        };
        refused && self.call.resource != "leases"
    }
}

/// What is read of a `Status`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct StatusHead {
    pub(super) reason: String,
    pub(super) message: String,
}

fn reason_of(body: &[u8]) -> String {
    serde_json::from_slice::<StatusHead>(body)
        .unwrap_or_default()
        .reason
}

impl World<'_> {
    /// A replica has sent a request.
    pub(super) fn send(&mut self, mut sent: Sent) {
        if let Some(service) = sent.service.take() {
            return self.send_to_service(sent, service);
        }
        let replica = &self.replicas[sent.replica.0 as usize];
        let (incarnation, server) = (replica.incarnation, replica.server);
        let (path, query) = (
            sent.http.uri().path(),
            sent.http.uri().query().unwrap_or_default(),
        );
        let call = Call::read(sent.http.method(), path, query);
        let query = query.to_owned();
        let traceparent = sent.http.headers().get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok().map(str::to_owned));
        let selects = query.contains("Selector=") || query.contains("continue=");
        let body = sent.http.body().clone();
        let base = call
            .is_write()
            .then(|| {
                self.knowledge
                    .base(sent.replica, sent.reconcile, &call, &body)
            })
            .flatten();
        let name = self.unique_name(|world| world.name_of(sent.replica, &call));
        let body = (!body.is_empty()).then(|| self.trace.keep(&body));
        let moved = self.record(Event::RequestSent {
            replica: sent.replica,
            request: sent.request,
            reconcile: sent.reconcile,
            server,
            call: call.clone(),
            query,
            body,
            base,
            webhook: sent.webhook,
            traceparent: traceparent.clone(),
        });
        let (id, replica) = (sent.request, sent.replica);
        let mut request = InFlight::new(sent, incarnation, server, call, name, moved);
        request.traceparent = traceparent;
        request.selects = selects;
        self.requests.insert(id, Box::new(request));
        if !self.held.contains(&replica) {
            self.set_out(id);
        }
    }

    /// How long a message of a request travels.
    fn travel_us(&mut self, site: &'static str, id: RequestId) -> u64 {
        let service = self
            .requests
            .get(&id)
            .and_then(|one| one.service.as_deref());
        let range = match service {
            Some(service) => self.service_latency(service),
            None => self.setup.timing.request,
        };
        self.latency(site, range)
    }

    /// A request sets out: it may be next from now on, or after a delay.
    pub(super) fn set_out(&mut self, id: RequestId) {
        let mut at = SimTime(entropy::now().0 + self.travel_us("request", id));
        let delayed = self.strike(
            "delay",
            |world, fault| matches!(fault, Fault::Delay { on, .. } if world.matches(on, id)),
        );
        if let Some(Fault::Delay { lasting, .. }) = delayed {
            let for_us = self.chooser.delay("delayed", *lasting);
            at = SimTime(at.0 + for_us);
            if let Some(request) = self.requests.get_mut(&id) {
                request.not_before = at;
                let replica = request.replica;
                self.record(Event::RequestDelayed {
                    replica,
                    request: id,
                    for_us,
                });
            }
        }
        self.agenda.put(Choice::CommitRequest(id), at);
    }

    /// A request reaches the API server.
    pub(super) fn commit(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        self.cause = Some(request.moved);
        if request.reply.is_none() && !request.call.is_write() {
            // Nobody waits for it and it changes nothing.
            self.requests.remove(&id);
            return;
        }
        let (server, http) = (request.server, request.http.take());
        let service = request.service.clone();
        let refused = self.strike(
            "refuse",
            |world, fault| matches!(fault, Fault::Refuse { on, .. } if world.matches(on, id)),
        );
        if let Some(Fault::Refuse {
            status,
            retry_after_s,
            ..
        }) = refused
        {
            return self.refuse(id, *status, *retry_after_s);
        }
        let Some(http) = http else { return };
        if let Some(service) = service {
            return self.commit_to_service(id, &service, http);
        }
        self.serve(|api, cx| api.submit(cx, ServerId(server), server::RequestId(id.0), http));
    }

    fn refuse(&mut self, id: RequestId, status: u16, retry_after_s: Option<u32>) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let response = refusal(status, retry_after_s);
        request.status = status;
        request.answer = Some(Ok(response.map(Body::whole)));
        let replica = request.replica;
        let moved = self.record(Event::RequestRefused {
            replica,
            request: id,
            status,
        });
        self.reply_later(id, moved);
    }

    /// Passes on what came out of the server.
    pub(super) fn take_outputs(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Reply { id, response } if self.stand_ins.asked(id) => {
                    self.actor_answered(id, &response);
                }
                Output::Reply { id, response } => self.replied(RequestId(id.0), response),
                Output::Opened { id, head, .. } => self.opened(RequestId(id.0), head),
                Output::Event {
                    watch,
                    kind,
                    revision,
                    line,
                } => {
                    self.queue_event(WatchId(watch.0), kind.as_str(), revision, line);
                }
                Output::Ended { watch } => self.queue_end(WatchId(watch.0)),
                Output::Call { call, id, request } => self.called(call, id, request),
                // It is in the server's hands until it answers.
                Output::Wait { .. } => {}
            }
        }
    }

    fn replied(&mut self, id: RequestId, response: http::Response<Bytes>) {
        let of = Origin::Request(server::RequestId(id.0));
        let (changes, entries) = self.take_changes(|entry| entry.origin == of);
        if let Some((step, what)) = self.parked_steps.remove(&server::RequestId(id.0)) {
            return self.step_done(step, what, &response, changes, entries);
        }
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let status = response.status().as_u16();
        request.committed = true;
        request.status = status;
        request.learnt = response.body().clone();
        let reason = if status < 400 {
            String::new()
        } else {
            reason_of(response.body())
        };
        request.answer = Some(Ok(response.map(Body::whole)));
        let (replica, write) = (request.replica, request.call.is_write());
        let wrote = write && !changes.is_empty();
        let moved = self.record_with(
            Event::RequestCommitted {
                replica,
                request: id,
                status,
                reason,
                changes,
            },
            entries,
        );
        self.after_commit(id, replica, wrote, moved);
    }

    /// The moments right after a commit, where operators break.
    pub(super) fn after_commit(
        &mut self,
        id: RequestId,
        replica: ReplicaId,
        wrote: bool,
        moved: StepId,
    ) {
        if !self.may_strike() {
            self.cause = Some(moved);
            return self.reply_later(id, moved);
        }
        let operator = self.operator_of(replica).to_owned();
        let struck = self.strike("commit", |world, fault| match fault {
            Fault::Crash {
                operator: of,
                after,
                ..
            } => {
                let here = match after {
                    CrashPoint::AnyWrite => wrote,
                    CrashPoint::AnyRequest => true,
                    CrashPoint::AnyDelivery => false,
                };
                here && of.as_ref().is_none_or(|of| *of == operator)
            }
            Fault::LoseReply { on } | Fault::StallReply { on, .. } => world.matches(on, id),
            _ => false,
        });
        self.cause = Some(moved);
        match struck {
            Some(Fault::Crash { restart, .. }) => {
                self.crash(replica, "crash after a request", *restart)
            }
            Some(Fault::LoseReply { .. }) => {
                self.break_reply(id);
                let moved = self.record(Event::ReplyLost {
                    replica,
                    request: id,
                });
                self.reply_later(id, moved);
            }
            Some(Fault::StallReply { lasting, .. }) => {
                let for_us = self.chooser.delay("stall", *lasting);
                let moved = self.record(Event::ReplyStalled {
                    replica,
                    request: id,
                    for_us,
                });
                let until = SimTime(entropy::now().0 + for_us);
                if let Some(request) = self.requests.get_mut(&id) {
                    request.not_before = request.not_before.max(until);
                }
                self.reply_at(id, moved, 0);
            }
            _ => self.reply_later(id, moved),
        }
    }

    /// In place of the reply, the client will see a broken connection; false if no reply is on its way.
    pub(super) fn break_reply(&mut self, id: RequestId) -> bool {
        let Some(request) = self.requests.get_mut(&id) else {
            return false;
        };
        request.answer = Some(Err(TransportError::ConnectionClosed));
        request.learnt = Bytes::new();
        true
    }

    /// The watch that a request asked for is open; the client learns it when the head arrives.
    fn opened(&mut self, id: RequestId, head: http::Response<()>) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let (stream, body) = Body::watch(&self.gate, id);
        request.committed = true;
        request.status = head.status().as_u16();
        request.answer = Some(Ok(head.map(|()| body)));
        let (replica, call, status) = (request.replica, request.call.clone(), request.status);
        let incarnation = request.incarnation;
        let moved = self.record(Event::RequestCommitted {
            replica,
            request: id,
            status,
            reason: String::new(),
            changes: Vec::new(),
        });
        self.open_watch(WatchId(id.0), replica, incarnation, call, stream);
        self.reply_later(id, moved);
    }

    pub(super) fn reply_later(&mut self, id: RequestId, moved: StepId) {
        let latency = self.travel_us("reply", id);
        self.reply_at(id, moved, latency);
    }

    /// The reply arrives after that long, or that long after it leaves.
    fn reply_at(&mut self, id: RequestId, moved: StepId, latency_us: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.reply.is_none() {
            self.requests.remove(&id);
            return;
        }
        request.moved = moved;
        let leaves = entropy::now().max(request.not_before);
        self.agenda
            .put(Choice::DeliverReply(id), SimTime(leaves.0 + latency_us));
    }

    /// A reply reaches the replica.
    pub(super) fn deliver_reply(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let replica = request.replica;
        if self.postponed(replica, Choice::DeliverReply(id)) {
            return;
        }
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        self.cause = Some(request.moved);
        let refused = request.was_refused();
        let (Some(reply), Some(answer)) = (request.reply, request.answer) else {
            return;
        };
        let about = about(&request.learnt);
        if answer.is_err() {
            self.connect_elsewhere(replica);
        }
        if answer.is_err() || refused {
            self.progress.came(request.sent);
        }
        if answer.is_ok() {
            let step = self.record(Event::ReplyDelivered {
                replica,
                request: id,
                status: request.status,
                revision: about.revision,
            });
            self.cause = Some(step);
            if let Some(revision) = about.revision.filter(|_| request.status < 300) {
                let call = &request.call;
                if call.verb == "list" {
                    let of = (call.group.as_str(), call.resource.as_str());
                    self.progress
                        .saw_list(replica, request.incarnation, of, revision);
                }
                if call.verb == "list" && !request.selects {
                    self.knowledge
                        .saw_list(replica, request.reconcile, call, revision, step);
                } else if call.verb == "list" {
                    for item in items(&request.learnt) {
                        let seen = item.revision.unwrap_or(revision);
                        let key = key_of(call, item);
                        self.knowledge
                            .saw_object(replica, request.reconcile, key, seen, step);
                    }
                } else if !about.name.is_empty() {
                    let key = key_of(call, about);
                    self.replicas[replica.0 as usize].saw_lease(&key, &request.learnt);
                    self.knowledge
                        .saw_object(replica, request.reconcile, key, revision, step);
                }
            }
            if request.call.verb == "watch" && request.status == 200 {
                self.watch_arrived(WatchId(id.0), id, step);
            }
        }
        self.step(replica, || {
            let _ = reply.send(answer);
        });
        self.after_delivery(replica);
    }

    /// The client of a request has gone, or has closed its watch.
    pub(super) fn cancelled(&mut self, id: RequestId) {
        let watch = WatchId(id.0);
        if let Some(request) = self.requests.get_mut(&id) {
            request.reply = None;
            let (replica, committed) = (request.replica, request.committed);
            let submitted = request.http.is_none();
            if committed {
                self.requests.remove(&id);
                self.agenda.remove(&Choice::DeliverReply(id));
            }
            self.record(Event::RequestCancelled {
                replica,
                request: id,
                committed,
            });
            // Where the server waits for a webhook it gives up; else it does what it was asked.
            if submitted && !committed && self.waits_for_webhook(id) {
                self.requests.remove(&id);
                self.abandon(id);
                self.refresh_chores();
            }
        }
        if self.watches.contains_key(&watch) {
            self.close_watch(watch, crate::event::WatchEnd::Cancelled);
        }
    }

    /// What a dead process had in flight is refused.
    pub(super) fn drop_requests(&mut self, replica: ReplicaId) {
        let of = |request: &InFlight| request.replica == replica;
        let ids: Vec<RequestId> = self
            .requests
            .iter()
            .filter(|(_, r)| of(r))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.requests.remove(&id);
            self.agenda.remove(&Choice::CommitRequest(id));
            self.agenda.remove(&Choice::DeliverReply(id));
            self.abandon(id);
        }
    }

    fn matches(&self, filter: &RequestFilter, id: RequestId) -> bool {
        let Some(request) = self.requests.get(&id) else {
            return false;
        };
        let any = |list: &[String], value: &str| {
            list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(value))
        };
        let to = match &request.service {
            Some(service) => filter
                .services
                .iter()
                .any(|one| one == "*" || one == service),
            None => filter.services.is_empty(),
        };
        request.call.verb != "watch"
            && to
            && filter.webhooks.is_empty()
            && any(&filter.verbs, &request.call.verb)
            && any(&filter.operators, self.operator_of(request.replica))
            && (filter.kinds.is_empty()
                || self
                    .kind_of(&request.call.group, &request.call.resource)
                    .is_some_and(|kind| any(&filter.kinds, &kind)))
    }

    /// The kind behind a plural name.
    pub(super) fn kind_of(&self, group: &str, resource: &str) -> Option<String> {
        let row = self
            .server
            .registry()
            .rows()
            .find(|row| row.is(group, resource))?;
        Some(row.kind.to_string())
    }

    /// A latency of the range: only in the timed way of time, where it decides the order.
    pub(super) fn latency(&mut self, site: &'static str, range: crate::time::DurationRange) -> u64 {
        match self.chooser.mode() {
            crate::choice::TapeMode::Timed => self.chooser.delay(site, range),
            crate::choice::TapeMode::Controlled => 0,
        }
    }
}

fn key_of(call: &Call, about: About) -> ObjectKey {
    ObjectKey {
        group: call.group.clone(),
        resource: call.resource.clone(),
        namespace: about.namespace,
        name: about.name,
    }
}

/// The answer of a server, or of what stands before it, that did not do what was asked.
fn refusal(status: u16, retry_after_s: Option<u32>) -> http::Response<Bytes> {
    let (reason, message) = match status {
        409 => (
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
        ),
        429 => (
            "TooManyRequests",
            "too many requests, please try again later",
        ),
        503 => ("ServiceUnavailable", "apiserver is shutting down"),
        504 => (
            "Timeout",
            "request did not complete within the allotted timeout",
        ),
        _ => (
            "InternalError",
            "Internal error occurred: etcdserver: request timed out",
        ),
    };
    let details =
        retry_after_s.map(|seconds| format!(",\"details\":{{\"retryAfterSeconds\":{seconds}}}"));
    let body = format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\
         \"reason\":\"{reason}\"{},\"code\":{status}}}",
        details.unwrap_or_default()
    );
    let mut response = http::Response::new(Bytes::from(body));
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = retry_after_s {
        headers.insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}
