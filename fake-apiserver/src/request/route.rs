//! What a path and a method mean: verb, group, version, namespace, resource, name (A9).
//! Source: apiserver `endpoints/request/requestinfo.go`.

use http::Method;

use super::query::{Query, decode};
use super::selector::FieldSelector;
use crate::json::CompactString;

/// A path taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// False for `/version`, `/healthz`, discovery paths and unknown ones.
    pub is_resource: bool,
    /// get, list, watch, create, update, patch, delete, deletecollection; the lower-case method for other paths.
    pub verb: CompactString,
    /// `api` or `apis`.
    pub prefix: CompactString,
    /// API group, "" = core.
    pub group: CompactString,
    /// API version.
    pub version: CompactString,
    /// Namespace; also set for `/namespaces/x` itself.
    pub namespace: CompactString,
    /// Plural.
    pub resource: CompactString,
    /// Subresource, "" = none.
    pub subresource: CompactString,
    /// Object name; also from a field selector `metadata.name=x` on list and watch.
    pub name: CompactString,
    /// True if the name stands in the path.
    pub name_in_path: bool,
    /// True if a namespace stands in the path before the resource.
    pub namespace_in_path: bool,
    /// True for the old `/watch/` prefix.
    pub watch_prefix: bool,
    /// What follows the subresource (`proxy/…`).
    pub rest: Vec<String>,
    /// True if the path has an empty segment inside.
    pub broken: bool,
}

impl RequestInfo {
    /// Reads method, path and query.
    pub fn new(method: &Method, path: &str, query: &Query) -> RequestInfo {
        let mut info = RequestInfo {
            verb: lower(method),
            ..RequestInfo::default()
        };
        // A15: escapes are undone before the path is cut, so that `%2F` separates; slashes at the end mean nothing.
        let path = decode(path, false);
        let trimmed = path.strip_prefix('/').unwrap_or(&path);
        let trimmed = trimmed.trim_end_matches('/');
        let mut parts: Vec<&str> = Vec::with_capacity(8);
        parts.extend(segments(trimmed));
        info.broken = parts.iter().any(|part| part.is_empty());
        parts.retain(|part| !part.is_empty());
        let mut rest = match parts.first() {
            Some(&"api") if parts.len() >= 2 => {
                info.version = parts[1].into();
                &parts[2..]
            }
            Some(&"apis") if parts.len() >= 3 => {
                info.group = parts[1].into();
                info.version = parts[2].into();
                &parts[3..]
            }
            _ => return info,
        };
        info.prefix = parts[0].into();
        if rest.is_empty() {
            return info;
        }
        info.is_resource = true;
        let mut verb = match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        if rest[0] == "watch" && rest.len() >= 2 {
            info.watch_prefix = true;
            rest = &rest[1..];
        }
        if rest[0] == "namespaces" && rest.len() > 1 {
            info.namespace = rest[1].into();
            if rest.len() > 2 && !matches!(rest[2], "status" | "finalize") {
                info.namespace_in_path = true;
                rest = &rest[2..];
            }
        }
        info.resource = rest[0].into();
        if let Some(name) = rest.get(1) {
            info.name = (*name).into();
            info.name_in_path = true;
        }
        if let Some(subresource) = rest.get(2) {
            info.subresource = (*subresource).into();
            info.rest = rest[3..].iter().map(|part| (*part).to_owned()).collect();
        }
        if info.watch_prefix {
            if verb == "get" {
                verb = "watch";
            }
        } else if !info.name_in_path {
            verb = match verb {
                "get" if query.flag("watch") == Some(true) => "watch",
                "get" => "list",
                "delete" => "deletecollection",
                other => other,
            };
        }
        info.verb = verb.into();
        if matches!(verb, "list" | "watch" | "deletecollection")
            && !info.name_in_path
            && let Some(name) = FieldSelector::parse(query.text("fieldSelector"))
                .ok()
                .and_then(|selector| selector.exact("metadata.name"))
        {
            info.name = name.into();
        }
        info
    }
}

/// The method as the verb of what is no resource.
fn lower(method: &Method) -> CompactString {
    CompactString::const_new(match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return method.as_str().to_ascii_lowercase().into(),
    })
}

/// What stands between slashes. Segments are short: looking for the next slash byte by byte is the quickest.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let here = rest?;
        let Some(end) = here.bytes().position(|byte| byte == b'/') else {
            rest = None;
            return Some(here);
        };
        rest = Some(&here[end + 1..]);
        Some(&here[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, target: &str, want: &str) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let info = RequestInfo::new(&method, path, &Query::parse(query));
        let got = format!(
            "{} {}/{} ns={} {}/{} sub={}",
            info.verb,
            info.group,
            info.version,
            info.namespace,
            info.resource,
            info.name,
            info.subresource
        );
        assert_eq!(got, want, "{target}");
    }

    #[test]
    fn a9_verbs_come_from_method_path_and_query() {
        check("GET", "/api/v1/pods?watch=1", "watch /v1 ns= pods/ sub=");
        check(
            "GET",
            "/apis/apps/v1/namespaces/x/deployments/a/status?watch=1",
            "get apps/v1 ns=x deployments/a sub=status",
        );
        check(
            "DELETE",
            "/api/v1/namespaces/x/pods",
            "deletecollection /v1 ns=x pods/ sub=",
        );
        check(
            "PUT",
            "/api/v1/namespaces/x/finalize",
            "update /v1 ns=x namespaces/x sub=finalize",
        );
        check(
            "GET",
            "/api/v1/watch/namespaces/x/pods/a",
            "watch /v1 ns=x pods/a sub=",
        );
        check(
            "GET",
            "/api/v1/pods?fieldSelector=metadata.name%3Da",
            "list /v1 ns= pods/a sub=",
        );
    }
}
