//! Custom resources: rows made from CustomResourceDefinitions.
//!
//! Owns which versions are served and their rows. Does not own the CRD's life cycle (`actors::crd`) nor its schema rules
//! (`schema`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Facts, Index, Resource, ResourceId, Subresource, Verbs, builtin};
use crate::cel;
use crate::json::{CompactString, Value};
use crate::schema::cache::Cache;
use crate::schema::{self, Schema};
use crate::strategy;

/// What a custom row knows beyond the common columns.
#[derive(Clone, Debug)]
pub struct CustomVersion {
    /// Name of the CRD (`plural.group`).
    pub definition: CompactString,
    /// The entry of `spec.versions` as written.
    pub version: Value,
    /// Its schema, with what every object has.
    pub schema: Arc<Schema>,
    /// `spec.conversion` as written.
    pub conversion: Value,
    /// `spec.preserveUnknownFields`.
    pub preserve_unknown_fields: bool,
    /// True once the CRD is being deleted: no creates any more (L10).
    pub terminating: bool,
    /// Its CEL rules.
    pub rules: Arc<cel::rules::Rules>,
    /// True if objects are converted between versions by a webhook.
    pub webhook: bool,
    /// The schema of the storage version.
    pub storage_schema: Arc<Schema>,
    /// The `Warning` of every request, if the version is deprecated.
    pub deprecation_warning: Option<String>,
    /// True if stored objects may not have the shape of this version: versions differ, or the schema has changed.
    pub reshapes: bool,
}

/// All custom rows.
#[derive(Clone, Default)]
pub struct CustomResources {
    pub(super) index: Index,
    /// Ids by CRD name; kept over deletion, so that a re-created CRD finds its (empty) set again.
    ids: BTreeMap<CompactString, ResourceId>,
    /// The storage row of each served CRD.
    storage: BTreeMap<ResourceId, Arc<Resource>>,
}

impl CustomResources {
    /// The storage row of an id.
    pub fn by_id(&self, id: ResourceId) -> Option<&Arc<Resource>> {
        self.storage.get(&id)
    }

    /// The id of a CRD's objects.
    pub fn id(&self, definition: &str) -> Option<ResourceId> {
        self.ids.get(definition).copied()
    }

    /// Served groups with their versions.
    pub fn groups(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.index.iter().map(|(group, versions)| {
            let versions = versions.iter().filter(|(_, rows)| !rows.is_empty());
            (
                group.as_str(),
                versions.map(|(version, _)| version.as_str()).collect(),
            )
        })
    }

    /// Makes the rows of an established CRD, replacing those it had. Returns the id of its objects.
    pub fn serve(&mut self, definition: &Value) -> ResourceId {
        let name = CompactString::from(definition.str_at(&["metadata", "name"]));
        let next = ResourceId(builtin().id_count() + self.ids.len() as u32);
        let id = *self.ids.entry(name.clone()).or_insert(next);
        self.drop_rows(&name);
        let versions = definition.array_at(&["spec", "versions"]);
        let storage = versions
            .iter()
            .find(|version| version["storage"] == Value::Bool(true));
        for version in versions {
            let row = Arc::new(row(definition, version, storage, id));
            if version["storage"] == Value::Bool(true) {
                self.storage.insert(id, row.clone());
            }
            if version["served"] == Value::Bool(true) {
                let group = self.index.entry(row.group.clone()).or_default();
                let rows = group.entry(row.version.clone()).or_default();
                rows.insert(row.plural.clone(), row);
            }
        }
        id
    }

    /// Takes the rows of a CRD away.
    pub fn withdraw(&mut self, definition: &str) {
        self.drop_rows(definition);
        if let Some(id) = self.ids.get(definition) {
            self.storage.remove(id);
        }
    }

    fn drop_rows(&mut self, definition: &str) {
        for versions in self.index.values_mut() {
            for rows in versions.values_mut() {
                rows.retain(|_, row| {
                    row.custom
                        .as_ref()
                        .is_none_or(|custom| custom.definition != definition)
                });
            }
            versions.retain(|_, rows| !rows.is_empty());
        }
        self.index.retain(|_, versions| !versions.is_empty());
    }
}

fn row(definition: &Value, version: &Value, storage: Option<&Value>, id: ResourceId) -> Resource {
    let spec = &definition["spec"];
    let names = accepted_names(definition);
    let text = |value: &Value| CompactString::from(value.as_str().unwrap_or_default());
    let texts = |value: &Value| -> Vec<CompactString> {
        value
            .as_array()
            .map_or(Vec::new(), |items| items.iter().map(text).collect())
    };
    let group = text(&spec["group"]);
    let version_name = text(&version["name"]);
    let kind = text(&names["kind"]);
    let mut subresources = Vec::new();
    let declared = &version["subresources"];
    let open_api = &version["schema"]["openAPIV3Schema"];
    let versions_count = spec.array_at(&["versions"]).len();
    let alike = |other: &Value| other["schema"] == version["schema"];
    let same = spec["versions"]
        .as_array()
        .is_none_or(|versions| versions.iter().all(alike));
    if declared.get("status").is_some() {
        subresources.push(Subresource {
            name: "status".into(),
            kind: kind.clone(),
            verbs: Verbs::parse("gpu"),
            group_version: None,
        });
    }
    if declared.get("scale").is_some() {
        subresources.push(Subresource {
            name: "scale".into(),
            kind: "Scale".into(),
            verbs: Verbs::parse("gpu"),
            group_version: Some("autoscaling/v1".into()),
        });
    }
    Resource {
        id,
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        list_kind: text(&names["listKind"]),
        namespaced: spec["scope"] == "Namespaced",
        verbs: Verbs::EVERY,
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        storage_version_hash: CompactString::default(),
        subresources,
        facts: Facts::CUSTOM,
        strategy: strategy::custom(),
        storage_version: (
            group.clone(),
            storage.map_or(version_name.clone(), |version| text(&version["name"])),
        ),
        schema: None,
        custom: Some(Arc::new(CustomVersion {
            definition: text(&definition["metadata"]["name"]),
            version: version.clone(),
            conversion: spec["conversion"].clone(),
            preserve_unknown_fields: spec["preserveUnknownFields"] == Value::Bool(true),
            terminating: schema::crd::condition(definition, "Terminating") == "True",
            schema: schema_of(open_api),
            webhook: versions_count > 1 && spec["conversion"]["strategy"] == "Webhook",
            storage_schema: schema_of(
                storage.map_or(open_api, |storage| &storage["schema"]["openAPIV3Schema"]),
            ),
            rules: rules_of(open_api),
            deprecation_warning: deprecation(&group, &kind, version, spec.array_at(&["versions"])),
            reshapes: status_defaults(version)
                || !same
                || definition.i64_at(&["metadata", "generation"]).unwrap_or(1) > 1,
        })),
        type_head: super::builtin::type_head(&group, &version_name, &kind),
        api_version: super::api_version(&group, &version_name).into(),
        version: version_name,
        kind,
        group,
    }
}

/// `status.acceptedNames` once there, else the names asked for.
fn accepted_names(definition: &Value) -> &Value {
    match definition.at(&["status", "acceptedNames"]) {
        Some(names) if !names["kind"].as_str().unwrap_or_default().is_empty() => names,
        _ => &definition["spec"]["names"],
    }
}

fn schema_of(open_api: &Value) -> Arc<Schema> {
    static KNOWN: Cache<Schema> = Cache::new();
    KNOWN.get(open_api.to_string(), || schema::build(open_api))
}

fn rules_of(open_api: &Value) -> Arc<cel::rules::Rules> {
    static KNOWN: Cache<cel::rules::Rules> = Cache::new();
    KNOWN.get(open_api.to_string(), || cel::rules::compile(open_api, true))
}

// A created object has no status, but one is filled in whenever it is read.
fn status_defaults(version: &Value) -> bool {
    let status = version.at(&["schema", "openAPIV3Schema", "properties", "status"]);
    status.is_some_and(|status| status.get("default").is_some())
}

/// L12: the warning of a deprecated version. The newest version that is served and not deprecated is recommended, if it is
/// newer.
fn deprecation(group: &str, kind: &str, version: &Value, versions: &[Value]) -> Option<String> {
    let flag = |version: &Value, name: &str| version[name] == Value::Bool(true);
    if !flag(version, "deprecated") {
        return None;
    }
    if let Some(given) = version["deprecationWarning"].as_str() {
        return Some(given.to_owned());
    }
    let name = version.str_at(&["name"]);
    let usable = versions
        .iter()
        .filter(|other| flag(other, "served") && !flag(other, "deprecated"));
    let newer = usable
        .map(|other| other.str_at(&["name"]))
        .filter(|other| rank(other) > rank(name));
    let newest = newer.max_by_key(|other| rank(other));
    let advice = newest.map(|newest| format!("; use {group}/{newest} {kind}"));
    Some(format!(
        "{group}/{name} {kind} is deprecated{}",
        advice.unwrap_or_default()
    ))
}

/// A version's place by priority (A3): GA, beta, alpha, each by its numbers; other names are below them.
pub(crate) fn rank(version: &str) -> (u8, u64, u64, std::cmp::Reverse<&str>) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let major: u64 = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => (3, 0),
            rest => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
                (Some(minor), _) => (2, minor.parse().ok()?),
                (_, Some(minor)) => (1, minor.parse().ok()?),
                _ => return None,
            },
        };
        Some((stage, major, minor, std::cmp::Reverse("")))
    };
    parse().unwrap_or((0, 0, 0, std::cmp::Reverse(version)))
}
