//! W3C trace context, as small as it can be: what a tracing library does for an operator.
//!
//! A client made by [`client`] puts the header `traceparent` on each of its requests.

use kube::Client;
use sim::gate::Transport;
use tower::ServiceBuilder;

/// A span's place in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The trace's id: 32 hexadecimal digits.
    pub(crate) trace: String,
    /// The span's: 16.
    pub(crate) span: String,
}

impl Context {
    /// The first span of a new trace.
    pub(crate) fn root() -> Context {
        Context {
            trace: format!("{:032x}", rand::random::<u128>()),
            span: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// A new span of the same trace.
    pub(crate) fn child(&self) -> Context {
        Context {
            trace: self.trace.clone(),
            ..Context::root()
        }
    }

    /// As the header says it.
    pub(crate) fn header(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.span)
    }

    /// Read from a header.
    pub(crate) fn read(header: &str) -> Option<Context> {
        let mut parts = header.split('-').skip(1).map(str::to_owned);
        Some(Context {
            trace: parts.next()?,
            span: parts.next()?,
        })
    }
}

/// A client whose requests belong to that span.
pub(crate) fn client(transport: &Transport, namespace: &str, context: &Context) -> Client {
    let header = context.header();
    let service = ServiceBuilder::new()
        .map_request(move |mut request: http::Request<kube::client::Body>| {
            if let Ok(header) = header.parse() {
                request.headers_mut().insert("traceparent", header);
            }
            request
        })
        .service(transport.clone());
    Client::new(service, namespace)
}
