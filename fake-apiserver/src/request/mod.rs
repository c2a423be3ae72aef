//! A request taken apart: path, query, media types, selectors, and who sends it.
//!
//! Owns reading of URLs, queries and headers with the errors a real server gives for bad ones. Does not own bodies (`schema`)
//! nor what is done about the request (`server`).

pub mod media;
pub mod options;
pub mod query;
pub mod route;
pub mod selector;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use http::header::AsHeaderName;

pub use media::Accept;
pub use options::{DeleteOptions, ListOptions, WriteOptions};
pub use query::Query;
pub use route::RequestInfo;

/// Who sends a request, after authentication and impersonation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// uid, "" = none.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further attributes.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A request as the verbs see it.
#[derive(Clone, Debug)]
pub struct Request {
    /// HTTP method.
    pub method: http::Method,
    /// The path as sent, without query.
    pub path: String,
    /// The query, decoded.
    pub query: Query,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What the path says.
    pub info: RequestInfo,
}

impl Request {
    /// Takes an HTTP request apart.
    pub fn new(request: http::Request<Bytes>) -> Request {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let path = parts.uri.path().to_owned();
        let info = RequestInfo::new(&parts.method, &path, &query);
        Request {
            method: parts.method,
            path,
            query,
            headers: parts.headers,
            body,
            info,
        }
    }

    /// A header's text, "" if absent or not text.
    pub fn header(&self, name: impl AsHeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
