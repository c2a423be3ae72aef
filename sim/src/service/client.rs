//! An operator's way to a simulated service.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::Service as _;

use crate::gate::{Transport, TransportError};

/// An operator's way to a simulated service: [`OperatorContext::service`](crate::OperatorContext::service).
#[derive(Clone)]
pub struct ServiceClient {
    transport: Transport,
    key: Option<String>,
}

/// A service's answer, read as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body; null where there is none.
    pub body: Value,
}

impl Reply {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl ServiceClient {
    pub(crate) fn new(transport: Transport) -> ServiceClient {
        ServiceClient {
            transport,
            key: None,
        }
    }

    /// The same way, with the header `Idempotency-Key` on each call.
    pub fn keyed(&self, key: impl Into<String>) -> ServiceClient {
        ServiceClient {
            key: Some(key.into()),
            ..self.clone()
        }
    }

    /// Any HTTP client stack can be put upon this.
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Sends a request; only its method, path, headers and body count.
    pub async fn call(
        &self,
        mut request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        if let Some(key) = self.key.as_deref().and_then(|key| key.parse().ok()) {
            request.headers_mut().insert("idempotency-key", key);
        }
        let response = self.transport.clone().call(request.map(Full::new)).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(http::Response::from_parts(head, body))
    }

    /// Sends a request with a JSON body, or with none where it is null.
    ///
    /// # Panics
    /// If `method` is no HTTP method or `path` is no path: both are the operator's own text.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Reply, TransportError> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap_or_else(|error| panic!("{method} {path} makes no request: {error}"));
        let response = self.call(request).await?;
        let retry_after = response.headers().get(http::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Reply {
            status: response.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            body: serde_json::from_slice(response.body()).unwrap_or_default(),
        })
    }
}
