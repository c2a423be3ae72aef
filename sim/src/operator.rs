//! Operators as the world runs them: a function from an [`OperatorContext`] to a future, and the registry of their names.
//!
//! Owns the doors an operator has. An operator is unmodified kube-rs code: it takes the client from its context and
//! runs until it is told to stop. Does not own replicas' lives (`replica`) nor where requests go (`gate`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::service::ServiceClient;
use crate::telemetry::Metrics;
use crate::webhook::{self, Address, AddressError};

/// What an operator's main future ends with: nothing, or the error it printed before it exited.
pub type OperatorResult = Result<(), String>;

/// An operator's main future.
pub type OperatorFuture = Pin<Box<dyn Future<Output = OperatorResult> + Send>>;

/// Starts one replica of an operator: called at its first start and at each restart.
pub type OperatorFn = Arc<dyn Fn(OperatorContext) -> OperatorFuture + Send + Sync>;

/// What the main function of an operator may return.
pub trait IntoOperatorResult {
    /// Turned into the world's form.
    fn into_operator_result(self) -> OperatorResult;
}

impl IntoOperatorResult for () {
    fn into_operator_result(self) -> OperatorResult {
        Ok(())
    }
}

impl<E: fmt::Display> IntoOperatorResult for Result<(), E> {
    fn into_operator_result(self) -> OperatorResult {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Wraps an async function as an [`OperatorFn`].
pub fn operator<F, Fut>(run: F) -> OperatorFn
where
    F: Fn(OperatorContext) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOperatorResult,
{
    Arc::new(move |context| {
        let future = run(context);
        Box::pin(async move { future.await.into_operator_result() })
    })
}

/// All the doors one replica of an operator has.
#[derive(Clone)]
#[non_exhaustive]
pub struct OperatorContext {
    /// A client of kube 5 whose requests go through the gate.
    #[cfg(feature = "kube-5")]
    pub client: kube::Client,
    /// The way to the API server that any HTTP client stack can be put upon.
    pub transport: crate::gate::Transport,
    /// The operator's name in the scenario.
    pub name: String,
    /// The namespace the replica's pod is in.
    pub namespace: String,
    /// The replica's own name, stable over restarts: the holder identity in a Lease.
    pub identity: String,
    /// Fires when the replica should stop gracefully.
    pub shutdown: Shutdown,
    /// Where the operator shows its metrics.
    pub metrics: Metrics,
    pub(crate) doors: Doors,
}

/// What the methods of a context need.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) gate: crate::gate::Gate,
    pub(crate) replica: crate::event::ReplicaId,
}

impl OperatorContext {
    /// The way to a simulated external system that the scenario declares. Calls of a name that it does not declare fail.
    pub fn service(&self, name: &str) -> ServiceClient {
        ServiceClient::new(self.transport.to_service(name))
    }

    /// Serves a webhook: runs `handler` for each call of that address, each in a task of its own, as long as the
    /// returned future is polled. The address is what `clientConfig.url` says, or a path of the Service that is called as
    /// the operator in [`namespace`](Self::namespace). The handler gets the whole request, a review as its body, and
    /// answers as an HTTP server does; it is dropped when the API server gives up waiting.
    ///
    /// Ends only if the address cannot be read.
    pub async fn serve_webhook<H, F>(&self, address: &str, handler: H) -> Result<(), AddressError>
    where
        H: Fn(http::Request<bytes::Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = http::Response<bytes::Bytes>> + Send + 'static,
    {
        let address = Address::read(address, &self.name, &self.namespace)?;
        webhook::serve(
            self.doors.gate.clone(),
            self.doors.replica,
            address,
            handler,
        )
        .await;
        Ok(())
    }
}

/// Tells an operator to stop gracefully, as SIGTERM does.
#[derive(Clone)]
pub struct Shutdown(tokio::sync::watch::Receiver<bool>);

impl Shutdown {
    /// A pair of the world's end and the operator's.
    pub(crate) fn channel() -> (tokio::sync::watch::Sender<bool>, Shutdown) {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        (sender, Shutdown(receiver))
    }

    /// Resolves when the replica is told to stop.
    pub async fn requested(mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            // The world has dropped its end: nobody will ask any more.
            std::future::pending::<()>().await;
        }
    }

    /// Whether the replica has been told to stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// The operators a scenario file can name.
#[derive(Clone, Default)]
pub struct Operators {
    by_name: BTreeMap<String, OperatorFn>,
}

impl Operators {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an operator under the name that scenario files use, such as `webapp::run`.
    pub fn add<F, Fut>(mut self, name: impl Into<String>, run: F) -> Self
    where
        F: Fn(OperatorContext) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoOperatorResult,
    {
        self.by_name.insert(name.into(), operator(run));
        self
    }

    /// Adds all of another registry's operators.
    pub fn merge(mut self, other: Operators) -> Self {
        self.by_name.extend(other.by_name);
        self
    }

    /// The operator of that name.
    pub fn get(&self, name: &str) -> Option<OperatorFn> {
        self.by_name.get(name).cloned()
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
