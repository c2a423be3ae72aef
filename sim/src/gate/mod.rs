//! The gate between operators and the API server: every request stops here until the world lets it pass.
//!
//! Owns the public [`Transport`], a tower service over `http` 1.x, and the queue of what replicas have sent. Knows no
//! kube: turning a transport into a `kube::Client` is [`client`], behind the feature `kube-5`. Does not own when a
//! message moves on (`world`).
//!
//! Invariant: a process that is dead sends nothing and cancels nothing.

mod body;
mod call;
#[cfg(feature = "kube-5")]
mod client;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

pub use body::Body;
pub(crate) use body::Stream;
#[cfg(feature = "kube-5")]
pub use client::client;

use crate::entropy;
use crate::event::{CallId, ReconcileId, ReplicaId, RequestId};
use crate::spans;
use crate::telemetry::Render;
use crate::webhook::{Address, Incoming};

/// What the network does to a request or a watch.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The connection broke before the reply; whether the server acted is unknown.
    #[error("connection closed before message completed")]
    ConnectionClosed,
    /// A watch's stream broke off. Clients resume it.
    #[error("unexpected EOF during chunk size line")]
    Broken(#[source] std::io::Error),
    /// The run has no service of that name: declare it under `services` of the scenario.
    #[error("no service {0:?} is declared in this scenario")]
    NoService(String),
    /// The request's own body could not be read.
    #[error("error reading a body from the client")]
    RequestBody,
}

impl TransportError {
    pub(crate) fn broken() -> TransportError {
        TransportError::Broken(std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// The answer to a request, as the replica's future gets it.
pub(crate) type Answer = Result<http::Response<Body>, TransportError>;

/// A request that a replica has sent.
pub(crate) struct Sent {
    pub(crate) request: RequestId,
    pub(crate) replica: ReplicaId,
    pub(crate) reconcile: Option<ReconcileId>,
    pub(crate) webhook: Option<CallId>,
    /// The service it goes to; none for the API server.
    pub(crate) service: Option<String>,
    pub(crate) http: http::Request<Bytes>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// A replica that serves a webhook.
pub(crate) struct Serving {
    number: u64,
    pub(crate) replica: ReplicaId,
    pub(crate) address: Address,
    pub(crate) calls: mpsc::UnboundedSender<Incoming>,
}

#[derive(Default)]
pub(crate) struct Queue {
    last: u64,
    last_serving: u64,
    pub(crate) sent: Vec<Sent>,
    /// Requests whose client does not wait any more, and watches it has closed.
    pub(crate) cancelled: Vec<RequestId>,
    /// Webhook calls whose handler has come to its end, with its answer if it gave one.
    pub(crate) answered: Vec<(CallId, Option<http::Response<Bytes>>)>,
    /// The webhooks that are served now.
    pub(crate) serving: Vec<Serving>,
    /// How the metrics of replicas are rendered.
    pub(crate) metrics: Vec<(ReplicaId, Render)>,
    /// The hosts on which webhooks were ever served.
    pub(crate) hosts: BTreeSet<String>,
}

/// The world's end of the gate.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<Queue>>);

impl Gate {
    /// What replicas have sent since it was last emptied.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic of an operator does not happen while the queue is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to the API server for one replica.
    pub(crate) fn transport(&self, replica: ReplicaId) -> Transport {
        Transport {
            gate: self.clone(),
            replica,
            service: None,
        }
    }

    /// The next number of a request; the workload's requests count too.
    pub(crate) fn next_request(&self) -> RequestId {
        let mut queue = self.queue();
        queue.last += 1;
        RequestId(queue.last)
    }

    /// A replica serves an address from now on, until the guard is dropped.
    pub(crate) fn begin_serving(
        &self,
        replica: ReplicaId,
        address: Address,
        calls: mpsc::UnboundedSender<Incoming>,
    ) -> EndServing {
        let mut queue = self.queue();
        queue.last_serving += 1;
        queue.hosts.insert(address.origin().to_owned());
        let number = queue.last_serving;
        queue.serving.push(Serving {
            number,
            replica,
            address,
            calls,
        });
        EndServing(self.clone(), number)
    }

    /// A replica that is gone serves nothing.
    pub(crate) fn end_serving(&self, replica: ReplicaId) {
        let mut queue = self.queue();
        queue.serving.retain(|one| one.replica != replica);
        queue.metrics.retain(|(of, _)| *of != replica);
    }

    /// A replica shows metrics from now on.
    pub(crate) fn register(&self, replica: ReplicaId, render: Render) {
        if entropy::is_stepping() && !entropy::has_exited() {
            self.queue().metrics.push((replica, render));
        }
    }

    /// A handler has come to its end.
    pub(crate) fn answer(&self, call: CallId, response: Option<http::Response<Bytes>>) {
        if entropy::is_stepping() && !entropy::has_exited() {
            self.queue().answered.push((call, response));
        }
    }

    fn cancel(&self, request: RequestId) {
        if entropy::is_stepping() && !entropy::has_exited() {
            self.queue().cancelled.push(request);
        }
    }
}

/// The server of a webhook has ended.
pub(crate) struct EndServing(Gate, u64);

impl Drop for EndServing {
    fn drop(&mut self) {
        self.0.queue().serving.retain(|one| one.number != self.1);
    }
}

/// One replica's way to the API server, or to a service: a tower service that any HTTP client stack can be put upon.
#[derive(Clone)]
pub struct Transport {
    gate: Gate,
    replica: ReplicaId,
    service: Option<String>,
}

impl Transport {
    /// The same replica's way to a service.
    pub(crate) fn to_service(&self, name: &str) -> Transport {
        Transport {
            service: Some(name.to_owned()),
            ..self.clone()
        }
    }
}

impl<B> tower::Service<http::Request<B>> for Transport
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = http::Response<Body>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // Read now: when the future is polled the span may not be entered.
        let (reconcile, webhook) = (spans::current_reconcile(), spans::current_webhook());
        let (gate, replica, service) = (self.gate.clone(), self.replica, self.service.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|_| TransportError::RequestBody)?
                .to_bytes();
            if entropy::has_exited() {
                return std::future::pending().await;
            }
            let request = gate.next_request();
            let (reply, answer) = oneshot::channel();
            let http = http::Request::from_parts(head, body);
            gate.queue().sent.push(Sent {
                request,
                replica,
                reconcile,
                webhook,
                service,
                http,
                reply,
            });
            let mut waiting = Waiting {
                gate,
                request,
                done: false,
            };
            let answer = answer.await;
            waiting.done = true;
            answer.unwrap_or(Err(TransportError::ConnectionClosed))
        })
    }
}

/// Tells the gate when a client stops waiting.
struct Waiting {
    gate: Gate,
    request: RequestId,
    done: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            self.gate.cancel(self.request);
        }
    }
}
