//! Puts a client of kube 5 upon a transport.
//!
//! kube's own builder puts a retry layer (429, 503, 504, with jitter) below every client made from a config. Operators in
//! production have it, so these have it too.

use kube::client::retry::RetryPolicy;
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

use super::Transport;

/// A client whose requests go through the gate. Call it within a runtime of tokio: the client spawns its worker.
pub fn client(transport: Transport, namespace: &str) -> kube::Client {
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .map_err(BoxError::from)
        .service(transport);
    kube::Client::new(service, namespace)
}
