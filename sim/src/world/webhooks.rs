//! Webhooks: calls of the API server on their way to a replica that serves them, and answers on their way back.
//!
//! A call goes to one of the running replicas that serve its address. Where nobody does it fails with the error that a
//! real API server reports: an unknown host, a refused connection, a Service without endpoints, or 404 where the host is
//! served and the path is not. The server's own timeout and the caller's going away end the handler, whose future is
//! dropped as an HTTP server drops it.
//!
//! Simplification: a Service has for endpoints the replicas that serve its name now; a replica is ready as soon as it
//! serves. The caller's `traceparent` is passed on, as by an API server that traces.

use bytes::Bytes;
use fake_apiserver::server::{self, OutCall, Output, WebhookReply};
use tokio::sync::oneshot;

use super::World;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{CallId, Event, ReplicaId, RequestId, StepId};
use crate::setup::{Fault, RequestFilter};
use crate::time::{SimTime, us};
use crate::webhook::{Address, Incoming};

/// A call between the server's making it and its answer's arrival.
pub(super) struct WebhookCall {
    /// The server's request that waits for it.
    of: server::RequestId,
    address: Address,
    pub(super) name: String,
    http: Option<http::Request<Bytes>>,
    /// When the server gives up.
    until: SimTime,
    /// It is delayed until then.
    pub(super) not_before: SimTime,
    /// Who serves it, once it has arrived there.
    pub(super) replica: Option<ReplicaId>,
    /// Dropped when the server does not wait any more.
    connection: Option<oneshot::Sender<()>>,
    answer: Option<WebhookReply>,
    /// The record of its last move.
    moved: StepId,
}

impl World<'_> {
    /// The server calls a webhook.
    pub(super) fn called(&mut self, id: server::CallId, of: server::RequestId, call: OutCall) {
        let webhook = CallId(id.0);
        let request = (!self.parked_chores.contains_key(&of)).then_some(RequestId(of.0));
        let Some(address) = Address::of_url(&call.url) else {
            return self.answer(id, of, WebhookReply::Failed("unsupported URL".to_owned()));
        };
        let body = self.trace.keep(&call.body);
        let traceparent = self
            .requests
            .get(&RequestId(of.0))
            .and_then(|request| request.traceparent.clone());
        let mut http = http::Request::post(&call.url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json, */*")
            .header(http::header::USER_AGENT, "kube-apiserver-admission");
        if let Some(traceparent) = traceparent {
            http = http.header("traceparent", traceparent);
        }
        let http = http
            .body(call.body)
            .expect("a URL that was read makes a request");
        let moved = self.record(Event::WebhookCalled {
            webhook,
            request,
            url: address.to_string(),
            body,
            timeout_us: us(call.timeout),
        });
        let name = self.unique_name(|_| format!("webhook {}", address.path()));
        self.calls.insert(
            webhook,
            WebhookCall {
                of,
                address,
                name,
                http: Some(http),
                until: SimTime(entropy::now().0 + us(call.timeout)),
                not_before: SimTime::ZERO,
                replica: None,
                connection: None,
                answer: None,
                moved,
            },
        );
        let at = entropy::now().0 + self.latency("webhook", self.setup.timing.request);
        let delayed = self.strike("delay", |world, fault| {
            matches!(fault, Fault::Delay { on, .. } if world.matches_call(on, webhook))
        });
        let mut at = SimTime(at);
        if let Some(Fault::Delay { lasting, .. }) = delayed {
            let for_us = self.chooser.delay("delayed", *lasting);
            at = SimTime(at.0 + for_us);
            self.record(Event::WebhookDelayed { webhook, for_us });
            if let Some(call) = self.calls.get_mut(&webhook) {
                call.not_before = at;
            }
        }
        self.agenda.put(Choice::DeliverCall(webhook), at);
    }

    /// The replicas that serve an address now, in order.
    fn endpoints(&self, address: &Address) -> Vec<ReplicaId> {
        let queue = self.gate.queue();
        let mut found: Vec<ReplicaId> = queue
            .serving
            .iter()
            .filter(|serving| serving.address == *address)
            .map(|serving| serving.replica)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Why a call of an address that nobody serves fails: the reply the server gets.
    fn unserved(&self, address: &Address) -> WebhookReply {
        let queue = self.gate.queue();
        let host = address.origin();
        if queue.serving.iter().any(|one| one.address.origin() == host) {
            return WebhookReply::Answered {
                status: 404,
                body: Bytes::from_static(b"404 page not found\n"),
            };
        }
        let bare = host.split_once("://").map_or(host, |(_, host)| host);
        WebhookReply::Failed(match address.service() {
            Some(service) => format!("no endpoints available for service {service:?}"),
            None if queue.hosts.contains(host) => {
                format!("dial tcp {bare}: connect: connection refused")
            }
            None => {
                let name = bare.split_once(':').map_or(bare, |(name, _)| name);
                format!("dial tcp: lookup {name}: no such host")
            }
        })
    }

    /// A call reaches whoever serves it.
    pub(super) fn deliver_call(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        self.cause = Some(call.moved);
        let address = call.address.clone();
        let endpoints = self.endpoints(&address);
        let replica = match call.replica {
            Some(replica) if endpoints.contains(&replica) => replica,
            _ => match endpoints.as_slice() {
                [] => {
                    let reply = self.unserved(&address);
                    return self.end_call(id, reply);
                }
                [only] => *only,
                several => {
                    let last = several.len() as u64 - 1;
                    several[self.chooser.up_to("endpoint", last) as usize]
                }
            },
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.replica = Some(replica);
        }
        if self.postponed(replica, Choice::DeliverCall(id)) || self.call_refused(id) {
            return;
        }
        let step = self.record(Event::WebhookDelivered {
            replica,
            webhook: id,
        });
        self.cause = Some(step);
        let calls = {
            let queue = self.gate.queue();
            let serves =
                |one: &&crate::gate::Serving| one.replica == replica && one.address == address;
            queue
                .serving
                .iter()
                .rfind(serves)
                .map(|one| one.calls.clone())
        };
        let (connection, gone) = oneshot::channel();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.moved = step;
        call.connection = Some(connection);
        let (Some(http), Some(calls)) = (call.http.take(), calls) else {
            return;
        };
        self.step(replica, move || {
            let _ = calls.send(Incoming {
                call: id,
                http,
                gone,
            });
        });
        self.after_delivery(replica);
    }

    /// Whether a fault of the plan answers in the handler's place.
    fn call_refused(&mut self, id: CallId) -> bool {
        let struck = self.strike(
            "webhook",
            |world, fault| matches!(fault, Fault::Refuse { on, .. } if world.matches_call(on, id)),
        );
        let Some(Fault::Refuse { status, .. }) = struck else {
            return false;
        };
        // What stands before a webhook, such as a proxy, does not speak the API's language.
        let (status, body) = (*status, Bytes::new());
        let step = self.record(Event::WebhookRefused {
            webhook: id,
            status,
        });
        self.answer_later(id, WebhookReply::Answered { status, body }, step);
        true
    }

    fn matches_call(&self, filter: &RequestFilter, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id) else {
            return false;
        };
        let operator = call.replica.map(|replica| self.operator_of(replica));
        let path = call.address.path();
        filter.webhooks.iter().any(|one| one == "*" || one == path)
            && (filter.operators.is_empty()
                || operator
                    .is_some_and(|operator| filter.operators.iter().any(|one| one == operator)))
    }

    /// A handler has come to its end: with an answer, or by a panic or a stopped server.
    pub(super) fn webhook_replied(&mut self, id: CallId, response: Option<http::Response<Bytes>>) {
        let Some(call) = self.calls.get(&id).filter(|call| call.answer.is_none()) else {
            return;
        };
        let (Some(replica), moved) = (call.replica, call.moved) else {
            return;
        };
        let Some(response) = response else {
            return self.answer_later(id, closed(), moved);
        };
        let (status, body) = (response.status().as_u16(), response.into_body());
        let kept = (!body.is_empty()).then(|| self.trace.keep(&body));
        let step = self.record(Event::WebhookReplied {
            replica,
            webhook: id,
            status,
            body: kept,
        });
        let lost = self.strike(
            "webhook-reply",
            |world, fault| matches!(fault, Fault::LoseReply { on } if world.matches_call(on, id)),
        );
        if lost.is_some() {
            let step = self.record(Event::WebhookReplyLost {
                replica,
                webhook: id,
            });
            return self.answer_later(id, closed(), step);
        }
        self.answer_later(id, WebhookReply::Answered { status, body }, step);
    }

    fn answer_later(&mut self, id: CallId, reply: WebhookReply, moved: StepId) {
        let latency = self.latency("webhook-reply", self.setup.timing.request);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.answer = Some(reply);
        call.moved = moved;
        self.agenda.put(
            Choice::DeliverAnswer(id),
            SimTime(entropy::now().0 + latency),
        );
    }

    /// An answer reaches the server.
    pub(super) fn deliver_answer(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        self.cause = Some(call.moved);
        let reply = call.answer.take().unwrap_or_else(closed);
        self.end_call(id, reply);
    }

    fn end_call(&mut self, id: CallId, reply: WebhookReply) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        let event = match &reply {
            WebhookReply::Answered { status, .. } => Event::WebhookAnswered {
                webhook: id,
                status: *status,
            },
            WebhookReply::Failed(why) => failed(id, why),
            WebhookReply::TimedOut => failed(id, TIMED_OUT),
        };
        self.cause = Some(self.record(event));
        self.answer(server::CallId(id.0), call.of, reply);
    }

    fn answer(&mut self, id: server::CallId, of: server::RequestId, reply: WebhookReply) {
        let outputs = self.with_server(|api, cx| api.answer(cx, id, reply));
        self.take_answered(&[of], outputs);
    }

    /// Passes on what came of answers to those requests, the control plane's among them.
    fn take_answered(&mut self, of: &[server::RequestId], outputs: Vec<Output>) {
        for id in of {
            let calls_again =
                |output: &Output| matches!(output, Output::Call { id: again, .. } if again == id);
            let waits = self.calls.values().any(|call| call.of == *id);
            if !waits && !outputs.iter().any(calls_again) {
                self.chore_ended(*id);
            }
        }
        self.take_outputs(outputs);
        self.refresh_chores();
    }

    /// The server has something due: calls that have taken too long among it.
    pub(super) fn server_deadline(&mut self) {
        let now = entropy::now();
        let late = self.calls.iter().filter(|(_, call)| call.until <= now);
        let late: Vec<CallId> = late.map(|(id, _)| *id).collect();
        let mut of = Vec::new();
        for id in late {
            of.extend(self.hang_up(id, TIMED_OUT));
        }
        let outputs = self.with_server(|server, cx| server.advance(cx));
        self.take_answered(&of, outputs);
    }

    /// The caller does not wait any more: whoever handles the call learns it.
    fn hang_up(&mut self, id: CallId, why: &str) -> Option<server::RequestId> {
        let call = self.calls.remove(&id)?;
        self.agenda.remove(&Choice::DeliverCall(id));
        self.agenda.remove(&Choice::DeliverAnswer(id));
        self.cause = Some(call.moved);
        self.cause = Some(self.record(failed(id, why)));
        if let (Some(replica), Some(connection)) = (call.replica, call.connection) {
            self.hung_up.push((replica, connection));
            self.deliver_hang_ups(replica);
        }
        Some(call.of)
    }

    /// Tells a replica, unless it stands still, which callers have gone.
    pub(super) fn deliver_hang_ups(&mut self, replica: ReplicaId) {
        if self.replicas[replica.0 as usize].paused_until.is_some() {
            return;
        }
        let (here, rest) = std::mem::take(&mut self.hung_up)
            .into_iter()
            .partition::<Vec<_>, _>(|(of, _)| *of == replica);
        self.hung_up = rest;
        if !here.is_empty() {
            self.step(replica, move || drop(here));
        }
    }

    pub(super) fn waits_for_webhook(&self, id: RequestId) -> bool {
        self.calls.values().any(|call| call.of.0 == id.0)
    }

    /// The client of a request has gone: the server drops it with its calls.
    pub(super) fn abandon(&mut self, id: RequestId) {
        let calls = self.calls.iter().filter(|(_, call)| call.of.0 == id.0);
        let calls: Vec<CallId> = calls.map(|(id, _)| *id).collect();
        self.server.cancel(server::RequestId(id.0));
        for call in calls {
            self.hang_up(call, "context canceled");
        }
    }

    /// A process is gone: its connections close.
    pub(super) fn drop_calls(&mut self, replica: ReplicaId) {
        self.gate.end_serving(replica);
        self.hung_up.retain(|(of, _)| *of != replica);
        let here = self
            .calls
            .iter()
            .filter(|(_, call)| call.replica == Some(replica) && call.answer.is_none());
        let here: Vec<CallId> = here.map(|(id, _)| *id).collect();
        for id in here {
            let moved = self.cause;
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            if call.connection.take().is_some() {
                let moved = moved.unwrap_or(call.moved);
                self.answer_later(id, closed(), moved);
            } else {
                // It had not arrived yet, and goes elsewhere.
                call.replica = None;
                self.agenda.put(Choice::DeliverCall(id), entropy::now());
            }
        }
    }
}

const TIMED_OUT: &str = "context deadline exceeded";

fn closed() -> WebhookReply {
    WebhookReply::Failed("EOF".to_owned())
}

fn failed(webhook: CallId, why: &str) -> Event {
    Event::WebhookFailed {
        webhook,
        why: why.to_owned(),
    }
}
