//! Calls of simulated services: the same gate, the same choices and the same faults as requests to the API server.
//!
//! A call is a request in flight whose target is a service: it commits at the service, which answers at once or takes its
//! time, and its reply travels back. What a service does by itself, such as a cleanup that ends, is a choice of its own.

use bytes::Bytes;
use fake_apiserver::json::CompactString;
use serde_json::Value;

use super::World;
use super::requests::InFlight;
use crate::choice::Choice;
use crate::entropy;
use crate::event::{Call, Event, RequestId};
use crate::gate::{Body, Sent, TransportError};
use crate::service::{Asked, Service};
use crate::setup::Setup;
use crate::time::DurationRange;

/// A service of this run.
pub(super) struct Running {
    name: String,
    latency: DurationRange,
    machine: Box<dyn Service>,
}

/// The services of a setup, fresh.
pub(super) fn start(setup: &Setup) -> Vec<Running> {
    let services = setup.services.iter().map(|service| Running {
        name: service.name.clone(),
        latency: service.latency,
        machine: service.start(),
    });
    services.collect()
}

/// What a call of a service asks for, in the verbs of Kubernetes.
fn call_of(service: &str, http: &http::Request<Bytes>) -> Call {
    let verb = match http.method().as_str() {
        "GET" | "HEAD" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    };
    Call {
        verb: verb.into(),
        group: CompactString::default(),
        resource: format!("{service}{}", http.uri().path()).into(),
        namespace: CompactString::default(),
        name: CompactString::default(),
        subresource: CompactString::default(),
    }
}

impl World<'_> {
    fn service(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|one| one.name == name)
    }

    /// The latency of a service's messages.
    pub(super) fn service_latency(&self, name: &str) -> DurationRange {
        self.service(name)
            .map_or(self.setup.timing.request, |at| self.services[at].latency)
    }

    /// A replica has sent a call to a service.
    pub(super) fn send_to_service(&mut self, sent: Sent, service: String) {
        let incarnation = self.replicas[sent.replica.0 as usize].incarnation;
        let call = call_of(&service, &sent.http);
        let header = |name: &str| {
            let value = sent.http.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (key, traceparent) = (header("idempotency-key"), header("traceparent"));
        let body = sent.http.body();
        let body = (!body.is_empty()).then(|| self.trace.keep(body));
        let moved = self.record(Event::ServiceCalled {
            replica: sent.replica,
            request: sent.request,
            reconcile: sent.reconcile,
            service: service.clone(),
            method: sent.http.method().to_string(),
            path: sent.http.uri().path().to_owned(),
            key,
            body,
            webhook: sent.webhook,
            traceparent: traceparent.clone(),
        });
        let name = format!("{}: {call}", self.replicas[sent.replica.0 as usize].name);
        let name = self.unique_name(|_| name);
        let known = self.service(&service).is_some();
        let mut request = InFlight::new(sent, incarnation, 0, call, name, moved);
        request.traceparent = traceparent;
        request.service = Some(service.clone());
        let (id, replica) = (request.id, request.replica);
        if !known {
            request.fail(TransportError::NoService(service));
        }
        self.requests.insert(id, Box::new(request));
        if !known {
            return self.reply_later(id, moved);
        }
        if !self.held.contains(&replica) {
            self.set_out(id);
        }
    }

    /// A call reaches its service.
    pub(super) fn commit_to_service(
        &mut self,
        id: RequestId,
        service: &str,
        http: http::Request<Bytes>,
    ) {
        let Some(at) = self.service(service) else {
            return;
        };
        let chooser = &mut self.chooser;
        let key = http.headers().get("idempotency-key");
        let body: Option<Value> = match http.body().as_ref() {
            b"" => Some(Value::Null),
            body => serde_json::from_slice(body).ok(),
        };
        let asked = Asked {
            now: entropy::now(),
            method: http.method(),
            path: http.uri().path(),
            key: key.and_then(|key| key.to_str().ok()),
            is_json: body.is_some(),
            body: body.unwrap_or_default(),
            draw: &mut |site, range| chooser.delay(site, range),
        };
        let answered = self.services[at].machine.ask(asked);
        let body = Bytes::from(answered.body.to_string());
        let mut response = http::Response::builder()
            .status(answered.status)
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(seconds) = answered.retry_after_s {
            response = response.header(http::header::RETRY_AFTER, seconds);
        }
        let response = response
            .body(Body::whole(body.clone()))
            .expect("a status and two headers make a response");
        let body = self.trace.keep(&body);
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.answered(response, answered.takes_us);
        let replica = request.replica;
        let wrote = !answered.effects.is_empty();
        if wrote {
            self.progress.news();
        }
        let moved = self.record(Event::ServiceCommitted {
            replica,
            request: id,
            service: service.to_owned(),
            status: answered.status,
            body,
            effects: answered.effects,
        });
        self.after_commit(id, replica, wrote, moved);
        self.offer_service(at);
    }

    /// Enables what a service does by itself.
    fn offer_service(&mut self, at: usize) {
        let choice = Choice::Service(at as u32);
        match self.services[at].machine.due() {
            Some(due) => self.agenda.put(choice, due.max(entropy::now())),
            None => {
                self.agenda.remove(&choice);
            }
        }
    }

    /// A service does what is due.
    pub(super) fn work_service(&mut self, number: u32) {
        let at = number as usize;
        let effects = self.services[at].machine.work(entropy::now());
        let service = self.services[at].name.clone();
        if !effects.is_empty() {
            self.progress.news();
        }
        self.record(Event::ServiceWorked { service, effects });
        self.offer_service(at);
    }

    /// Whether no service has something under way that ends by itself.
    pub(super) fn services_are_idle(&self) -> bool {
        self.services.iter().all(|one| one.machine.due().is_none())
    }

    /// A stable name for the tape.
    pub(super) fn service_name(&self, number: u32) -> Option<String> {
        let service = self.services.get(number as usize)?;
        Some(format!("service {}", service.name))
    }
}
