//! Reads off a method, a path and a query what a request asks for.
//!
//! Simplification: paths are taken as clients of Kubernetes write them; the server's own router is the judge of others.

use fake_apiserver::json::CompactString;
use http::Method;

use crate::event::Call;

impl Call {
    /// What that request asks for. Paths that are not resources give a call with the method as its verb.
    pub fn read(method: &Method, path: &str, query: &str) -> Call {
        let mut call = Call {
            verb: method.as_str().to_ascii_lowercase().into(),
            group: CompactString::default(),
            resource: CompactString::default(),
            namespace: CompactString::default(),
            name: CompactString::default(),
            subresource: CompactString::default(),
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _version, rest @ ..] => rest,
            ["apis", group, _version, rest @ ..] => {
                call.group = (*group).into();
                rest
            }
            _ => return call,
        };
        let rest = match rest {
            ["namespaces", namespace, resource, rest @ ..]
                if !matches!(*resource, "status" | "finalize") =>
            {
                call.namespace = (*namespace).into();
                call.resource = (*resource).into();
                rest
            }
            [resource, rest @ ..] => {
                call.resource = (*resource).into();
                rest
            }
            [] => return call,
        };
        call.name = rest.first().map(|name| (*name).into()).unwrap_or_default();
        call.subresource = rest.get(1).map(|name| (*name).into()).unwrap_or_default();
        let collection = call.name.is_empty();
        let watches = query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"));
        call.verb = match *method {
            Method::GET if watches => "watch",
            Method::GET if collection => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            _ => return call,
        }
        .into();
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, url: &str, want: &str) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        assert_eq!(Call::read(&method, path, query).to_string(), want);
    }

    #[test]
    fn calls_are_read_as_the_server_reads_them() {
        check(
            Method::GET,
            "/api/v1/namespaces/a/configmaps/b?",
            "get configmaps/a/b",
        );
        check(Method::GET, "/api/v1/configmaps?limit=5", "list configmaps");
        check(
            Method::GET,
            "/apis/x.io/v1/widgets?&watch=true&resourceVersion=3",
            "watch widgets",
        );
        check(
            Method::PATCH,
            "/apis/x.io/v1/namespaces/a/widgets/b/status",
            "patch widgets/a/b status",
        );
        check(
            Method::DELETE,
            "/api/v1/namespaces/a",
            "delete namespaces/a",
        );
        check(
            Method::PUT,
            "/api/v1/namespaces/a/finalize",
            "update namespaces/a finalize",
        );
        check(
            Method::DELETE,
            "/api/v1/namespaces/a/pods",
            "deletecollection pods/a",
        );
        check(Method::GET, "/version", "get ");
    }
}
