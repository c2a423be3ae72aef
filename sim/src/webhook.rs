//! Webhooks that an operator serves: where they are found, and the server that hands calls to a handler.
//!
//! Owns [`Address`] and the loop behind [`OperatorContext::serve_webhook`](crate::OperatorContext::serve_webhook). A call
//! runs in a task of its own on the replica's runtime, as an HTTP server would run it: it ends when its caller goes away,
//! and a panic in it closes the connection and nothing else. Does not own when a call arrives (`world`).
//!
//! Simplification: no TLS; any certificate authority in a configuration is taken.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures::future::{Either, select};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::event::{CallId, ReplicaId};
use crate::gate::Gate;

/// A text that is neither a path nor a URL: write `/validate`, or what `clientConfig.url` says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of a webhook: write a path, such as /validate, or a URL")]
pub struct AddressError(pub String);

/// Where a webhook is found: scheme, host, port and path, without a query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    origin: String,
    path: String,
}

impl Address {
    /// A URL, or a path of the Service that is called as the operator, in the operator's namespace.
    pub(crate) fn read(
        text: &str,
        operator: &str,
        namespace: &str,
    ) -> Result<Address, AddressError> {
        if text.starts_with('/') {
            let origin = format!("https://{operator}.{namespace}.svc:443");
            let path = text.to_owned();
            return Ok(Address { origin, path });
        }
        Address::of_url(text).ok_or_else(|| AddressError(text.to_owned()))
    }

    /// The address that a URL points to.
    pub(crate) fn of_url(url: &str) -> Option<Address> {
        let uri: http::Uri = url.parse().ok()?;
        let (scheme, host) = (uri.scheme_str()?, uri.host()?);
        let port = uri
            .port_u16()
            .unwrap_or(if scheme == "http" { 80 } else { 443 });
        let origin = format!("{scheme}://{host}:{port}");
        let path = uri.path().to_owned();
        Some(Address { origin, path })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The Service that the host names, if it names one.
    pub(crate) fn service(&self) -> Option<&str> {
        let (_, host) = self.origin.split_once("://")?;
        let (host, _) = host.split_once(':')?;
        host.strip_suffix(".svc")?
            .split_once('.')
            .map(|(name, _)| name)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// A call that has reached a replica.
pub(crate) struct Incoming {
    pub(crate) call: CallId,
    pub(crate) http: http::Request<Bytes>,
    /// Resolves when the caller goes away.
    pub(crate) gone: oneshot::Receiver<()>,
}

/// Serves an address until it is dropped.
pub(crate) async fn serve<H, F>(gate: Gate, replica: ReplicaId, address: Address, handler: H)
where
    H: Fn(http::Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = http::Response<Bytes>> + Send + 'static,
{
    let (calls, mut incoming) = mpsc::unbounded_channel::<Incoming>();
    let _serving = gate.begin_serving(replica, address, calls);
    let handler = Arc::new(handler);
    let mut tasks = JoinSet::new();
    loop {
        let next = poll_fn(|cx| {
            while let Poll::Ready(Some(_)) = tasks.poll_join_next(cx) {}
            incoming.poll_recv(cx)
        });
        let Some(call) = next.await else { return };
        let span = tracing::info_span!("serving webhook", webhook = call.call.0);
        tasks.spawn(handle(gate.clone(), call, handler.clone()).instrument(span));
    }
}

async fn handle<H, F>(gate: Gate, incoming: Incoming, handler: Arc<H>)
where
    H: Fn(http::Request<Bytes>) -> F,
    F: Future<Output = http::Response<Bytes>>,
{
    let mut connection = Connection {
        gate,
        call: incoming.call,
        open: true,
    };
    let answer = pin!(handler(incoming.http));
    let answered = match select(answer, incoming.gone).await {
        Either::Left((response, _)) => Some(response),
        Either::Right(_) => None,
    };
    connection.open = false;
    if let Some(response) = answered {
        connection.gate.answer(connection.call, Some(response));
    }
}

/// Closes without an answer if the handler panics or the server stops.
struct Connection {
    gate: Gate,
    call: CallId,
    open: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.open {
            self.gate.answer(self.call, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let read = Address::read(text, "webapp", "apps");
        assert_eq!(read.map_or_else(|e| e.to_string(), |a| a.to_string()), want);
    }

    #[test]
    fn a_path_is_of_the_operators_own_service() {
        check("/validate", "https://webapp.apps.svc:443/validate");
        check("https://a.b.svc/x?timeout=5s", "https://a.b.svc:443/x");
        check("http://hooks:8080/x", "http://hooks:8080/x");
        check(
            "validate",
            "\"validate\" is no address of a webhook: write a path, such as /validate, or a URL",
        );
    }

    #[test]
    fn a_service_is_named_by_its_host() {
        let of = |url| Address::of_url(url).and_then(|a| a.service().map(str::to_owned));
        assert_eq!(of("https://a.b.svc:443/x").as_deref(), Some("a"));
        assert_eq!(of("https://a.b.example/x"), None);
    }
}
