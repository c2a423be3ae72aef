//! Plain discovery documents: APIVersions, APIGroupList, APIGroup, APIResourceList (A1, A3).

use super::{object, texts};
use crate::json::{Map, Value};
use crate::registry::{Registry, Resource, Subresource, api_version, split_api_version};

/// `/api`. The address is the one the client used.
pub(super) fn api_versions(host: &str) -> Value {
    let host = if host.contains(':') {
        host
    } else {
        "127.0.0.1:6443"
    };
    let address = object([
        ("clientCIDR", Value::from("0.0.0.0/0")),
        ("serverAddress", Value::from(host)),
    ]);
    object([
        ("kind", Value::from("APIVersions")),
        ("versions", texts(["v1"])),
        ("serverAddressByClientCIDRs", Value::Array(vec![address])),
    ])
}

/// `/apis`.
pub(super) fn groups(registry: &Registry) -> Value {
    let groups = group_versions(registry)
        .into_iter()
        .filter(|(group, _)| !group.is_empty());
    let groups = groups.map(|(group, versions)| group_document(&group, &versions, false));
    object([
        ("kind", Value::from("APIGroupList")),
        ("apiVersion", Value::from("v1")),
        ("groups", Value::Array(groups.collect())),
    ])
}

/// `/apis/<group>`.
pub(super) fn group(registry: &Registry, name: &str) -> Option<Value> {
    let mut groups = group_versions(registry)
        .into_iter()
        .filter(|(group, _)| !group.is_empty());
    let (group, versions) = groups.find(|(group, _)| group == name)?;
    Some(group_document(&group, &versions, true))
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(super) fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let rows: Vec<_> = registry
        .rows()
        .filter(|row| row.group == group && row.version == version)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut entries = Vec::new();
    for row in rows {
        entries.push(entry(row));
        entries.extend(row.subresources.iter().map(|sub| sub_entry(row, sub)));
    }
    let mut map = Map::new();
    map.insert("kind", "APIResourceList");
    if !group.is_empty() {
        map.insert("apiVersion", "v1");
    }
    map.insert("groupVersion", api_version(group, version).as_str());
    map.insert("resources", Value::Array(entries));
    Some(Value::Object(map))
}

/// `/`: the paths there are.
pub(super) fn paths(registry: &Registry) -> Value {
    let mut all = vec![
        "/.well-known/openid-configuration".to_owned(),
        "/api".to_owned(),
        "/api/v1".to_owned(),
        "/apis".to_owned(),
        "/apis/".to_owned(),
    ];
    for (group, versions) in group_versions(registry)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
    {
        all.push(format!("/apis/{group}"));
        all.extend(
            versions
                .iter()
                .map(|version| format!("/apis/{group}/{version}")),
        );
    }
    all.extend(
        [
            "/healthz",
            "/livez",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/readyz",
            "/version",
        ]
        .map(String::from),
    );
    all.sort();
    object([("paths", texts(all))])
}

/// All groups with their versions in the order of preference: built-in ones in the server's order, then custom ones.
pub(super) fn group_versions(registry: &Registry) -> Vec<(String, Vec<String>)> {
    let builtin = registry.builtin_groups().iter();
    let builtin = builtin.map(|group| {
        (
            group.name.to_string(),
            group.versions.iter().map(ToString::to_string).collect(),
        )
    });
    let custom = registry.custom().groups().map(|(group, versions)| {
        let mut versions: Vec<String> = versions.into_iter().map(String::from).collect();
        versions.sort_by(|a, b| priority(b).cmp(&priority(a)).then_with(|| a.cmp(b)));
        (group.to_owned(), versions)
    });
    builtin
        .chain(custom)
        .filter(|(_, versions): &(String, Vec<String>)| !versions.is_empty())
        .collect()
}

/// A3: GA before beta before alpha before anything else, higher numbers first.
pub(super) fn priority(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (major, tail) = rest.split_at(digits);
        let major: u64 = major.parse().ok().filter(|n| *n > 0)?;
        if tail.is_empty() {
            return Some((3, major, 0));
        }
        let (rank, minor) = match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return None,
        };
        Some((rank, major, minor.parse().ok()?))
    };
    parse().unwrap_or((0, 0, 0))
}

fn group_document(group: &str, versions: &[String], alone: bool) -> Value {
    let version = |version: &str| {
        object([
            (
                "groupVersion",
                Value::from(format!("{group}/{version}").as_str()),
            ),
            ("version", Value::from(version)),
        ])
    };
    let mut map = Map::new();
    if alone {
        map.insert("kind", "APIGroup");
        map.insert("apiVersion", "v1");
    }
    map.insert("name", group);
    map.insert(
        "versions",
        Value::Array(versions.iter().map(|v| version(v)).collect()),
    );
    map.insert(
        "preferredVersion",
        versions.first().map_or(Value::Null, |v| version(v)),
    );
    Value::Object(map)
}

/// The verbs of a resource as discovery lists them; custom resources have an order of their own.
pub(super) fn verbs(row: &Resource) -> Value {
    if row.is_custom() {
        return match row.custom.as_ref().is_some_and(|custom| custom.terminating) {
            true => texts(["delete", "deletecollection", "get", "list", "watch"]),
            false => texts([
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "create",
                "update",
                "watch",
            ]),
        };
    }
    texts(row.verbs.names())
}

fn entry(row: &Resource) -> Value {
    let mut map = Map::new();
    map.insert("name", row.plural.as_str());
    map.insert("singularName", row.singular.as_str());
    map.insert("namespaced", row.namespaced);
    map.insert("kind", row.kind.as_str());
    map.insert("verbs", verbs(row));
    if !row.short_names.is_empty() {
        map.insert("shortNames", texts(&row.short_names));
    }
    if !row.categories.is_empty() {
        map.insert("categories", texts(&row.categories));
    }
    let hash = storage_version_hash(row);
    if !hash.is_empty() {
        map.insert("storageVersionHash", hash.as_str());
    }
    Value::Object(map)
}

fn sub_entry(row: &Resource, sub: &Subresource) -> Value {
    let mut map = Map::new();
    map.insert("name", format!("{}/{}", row.plural, sub.name).as_str());
    map.insert("singularName", "");
    map.insert("namespaced", row.namespaced);
    if let Some(group_version) = &sub.group_version {
        let (group, version) = split_api_version(group_version);
        map.insert("group", group);
        map.insert("version", version);
    }
    map.insert("kind", sub.kind.as_str());
    map.insert("verbs", texts(sub.verbs.names()));
    Value::Object(map)
}

/// A1: the first eight bytes of SHA-256 over `<group>/<storage version>/<Kind>`, in base64.
fn storage_version_hash(row: &Resource) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    if !row.is_custom() {
        return row.storage_version_hash.to_string();
    }
    let (group, version) = &row.storage_version;
    let digest = sha2::Sha256::digest(format!("{group}/{version}/{}", row.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_versions_are_ordered_ga_beta_alpha_others() {
        let mut versions = vec![
            "foo", "v1alpha1", "v2", "v1beta1", "v10", "v2beta2", "v1", "v3alpha1",
        ];
        versions.sort_by_key(|name| std::cmp::Reverse(priority(name)));
        assert_eq!(
            versions,
            [
                "v10", "v2", "v1", "v2beta2", "v1beta1", "v3alpha1", "v1alpha1", "foo"
            ]
        );
    }
}
