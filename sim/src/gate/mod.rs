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

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

pub use body::Body;
pub(crate) use body::Stream;
#[cfg(feature = "kube-5")]
pub use client::client;

use crate::entropy;
use crate::event::{ReconcileId, ReplicaId, RequestId};
use crate::spans;

/// What the network does to a request or a watch.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The connection broke before the reply; whether the server acted is unknown.
    #[error("connection closed before message completed")]
    ConnectionClosed,
    /// A watch's stream broke off. Clients resume it.
    #[error("unexpected EOF during chunk size line")]
    Broken(#[source] std::io::Error),
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
    pub(crate) http: http::Request<Bytes>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

#[derive(Default)]
pub(crate) struct Queue {
    last: u64,
    pub(crate) sent: Vec<Sent>,
    /// Requests whose client does not wait any more, and watches it has closed.
    pub(crate) cancelled: Vec<RequestId>,
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
        }
    }

    /// The next number of a request; the workload's requests count too.
    pub(crate) fn next_request(&self) -> RequestId {
        let mut queue = self.queue();
        queue.last += 1;
        RequestId(queue.last)
    }

    fn cancel(&self, request: RequestId) {
        if entropy::is_stepping() && !entropy::has_exited() {
            self.queue().cancelled.push(request);
        }
    }
}

/// One replica's way to the API server: a tower service that any HTTP client stack can be put upon.
#[derive(Clone)]
pub struct Transport {
    gate: Gate,
    replica: ReplicaId,
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
        let reconcile = spans::current_reconcile();
        let (gate, replica) = (self.gate.clone(), self.replica);
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
