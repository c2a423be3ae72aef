//! Which resources exist: the built-in table and the custom resources that CRDs add, behind one lookup.
//!
//! Owns the rows ([`Resource`]) and the index group → version → plural. Does not own schemas or behaviour per kind; a row
//! points at them. Custom rows come and go with their CRD (`registry::custom`).

mod builtin;
pub mod custom;
mod facts;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use builtin::builtin;
pub use facts::{Facts, Propagation};

use crate::json::{CompactString, Value};
use crate::schema::{Schema, Schemas};
use crate::status::group_resource;
use crate::strategy::Strategy;

/// One set of stored objects. Several rows (versions, `events` in two groups) may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

/// A set of verbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbs(pub u8);

impl Verbs {
    /// The letters of the tables, in the order of discovery, with their names.
    pub const ALL: [(char, &'static str); 8] = [
        ('c', "create"),
        ('d', "delete"),
        ('D', "deletecollection"),
        ('g', "get"),
        ('l', "list"),
        ('p', "patch"),
        ('u', "update"),
        ('w', "watch"),
    ];

    /// Every verb: what a custom resource has.
    pub const EVERY: Verbs = Verbs(0xff);

    /// From the letters of the table.
    pub fn parse(letters: &str) -> Verbs {
        let bits = Verbs::ALL.iter().enumerate();
        Verbs(bits.fold(0, |set, (i, (letter, _))| {
            set | (u8::from(letters.contains(*letter)) << i)
        }))
    }

    /// True if the verb of that name is in the set.
    pub fn has(self, name: &str) -> bool {
        let mut bits = Verbs::ALL.iter().enumerate();
        bits.any(|(i, (_, verb))| *verb == name && self.0 & (1 << i) != 0)
    }

    /// Names in the order of discovery.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let bits = Verbs::ALL.iter().enumerate();
        bits.filter(move |(i, _)| self.0 & (1 << i) != 0)
            .map(|(_, (_, name))| *name)
    }
}

/// A subresource of a row.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// `status`, `scale`, ….
    pub name: CompactString,
    /// The kind it speaks.
    pub kind: CompactString,
    /// What it can do.
    pub verbs: Verbs,
    /// Group and version of that kind where they differ from the row's (`autoscaling/v1` of `scale`).
    pub group_version: Option<CompactString>,
}

/// One served resource of one version.
pub struct Resource {
    /// The stored objects behind it.
    pub id: ResourceId,
    /// API group, "" = core.
    pub group: CompactString,
    /// Version.
    pub version: CompactString,
    /// `group/version`, or the version alone for the core group.
    pub(crate) api_version: CompactString,
    /// Plural name, as in paths.
    pub plural: CompactString,
    /// Singular name.
    pub singular: CompactString,
    /// Kind.
    pub kind: CompactString,
    /// Kind of a list of them.
    pub list_kind: CompactString,
    /// True if objects live in namespaces.
    pub namespaced: bool,
    /// Verbs of the resource itself.
    pub verbs: Verbs,
    /// Short names.
    pub short_names: Vec<CompactString>,
    /// Categories (`all`).
    pub categories: Vec<CompactString>,
    /// Discovery's storage hash, "" = none.
    pub storage_version_hash: CompactString,
    /// Subresources by name.
    pub subresources: Vec<Subresource>,
    /// Facts about the kind that are not in discovery.
    pub facts: Facts,
    /// Behaviour of the kind.
    pub strategy: &'static dyn Strategy,
    /// Group and version its objects are stored in.
    pub storage_version: (CompactString, CompactString),
    /// The schema of a built-in kind.
    pub schema: Option<&'static Schema>,
    /// Set for custom resources.
    pub custom: Option<Arc<custom::CustomVersion>>,
    /// `"kind":…,"apiVersion":…` of an object, as written into answers.
    pub(crate) type_head: Bytes,
}

impl Resource {
    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Writes kind and apiVersion into an object; mostly they are there.
    pub(crate) fn set_type(&self, object: &mut Value) {
        let map = object.make_object();
        for (key, text) in [
            ("kind", self.kind.as_str()),
            ("apiVersion", self.api_version()),
        ] {
            if map.get(key).is_none_or(|there| there != text) {
                map.insert(key, text);
            }
        }
    }

    /// `plural.group`, as messages name it.
    pub fn group_resource(&self) -> String {
        group_resource(&self.plural, &self.group)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// What a subresource speaks, as a row of its own: for reading what is sent to it.
    pub(crate) fn part(&self, name: &str) -> Option<Resource> {
        let part = self.subresource(name)?;
        let api_version = match &part.group_version {
            Some(version) => version.as_str(),
            None => self.api_version(),
        };
        let (group, version) = split_api_version(api_version);
        Some(Resource {
            id: self.id,
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            plural: CompactString::default(),
            singular: CompactString::default(),
            kind: part.kind.clone(),
            list_kind: CompactString::default(),
            namespaced: self.namespaced,
            verbs: part.verbs,
            short_names: Vec::new(),
            categories: Vec::new(),
            storage_version_hash: CompactString::default(),
            subresources: Vec::new(),
            facts: Facts::builtin(group, ""),
            strategy: crate::strategy::of(group, ""),
            storage_version: (group.into(), version.into()),
            schema: Schemas::builtin().kind(group, version, &part.kind),
            custom: None,
            type_head: builtin::type_head(group, version, &part.kind),
        })
    }

    /// True if `/status` is served, so that the main endpoint leaves the status alone.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// True if stored objects may have to be changed before they are served as this row.
    pub fn reshapes(&self) -> bool {
        self.storage_version.0 != self.group
            || self.storage_version.1 != self.version
            || self.custom.as_ref().is_some_and(|custom| custom.reshapes)
    }

    /// True if a webhook stands between stored objects and this row.
    pub fn needs_webhook(&self) -> bool {
        self.storage_version.1 != self.version
            && self.custom.as_ref().is_some_and(|custom| custom.webhook)
    }

    /// The schema of its objects.
    pub fn schema(&self) -> Option<&Schema> {
        match &self.custom {
            Some(custom) => Some(&custom.schema),
            None => self.schema,
        }
    }

    /// True for custom resources.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// True if this is that group's resource.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.plural == plural && self.group == group
    }

    /// The storage key below `/registry/`, up to the object's own part.
    pub fn storage_prefix(&self) -> String {
        if self.is_custom() {
            format!("{}/{}", self.group, self.plural)
        } else {
            self.plural.to_string()
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.plural)
    }
}

/// `group/version`, or the version alone for the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Group and version of an `apiVersion`.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// An API group as discovery lists it.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name, "" = core.
    pub name: CompactString,
    /// Preferred version.
    pub preferred: CompactString,
    /// Versions, preferred first.
    pub versions: Vec<CompactString>,
}

pub(crate) type Index = BTreeMap<CompactString, BTreeMap<CompactString, Rows>>;
pub(crate) type Rows = BTreeMap<CompactString, Arc<Resource>>;

/// All served resources.
#[derive(Clone)]
pub struct Registry {
    builtin: &'static builtin::Builtin,
    custom: Arc<custom::CustomResources>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// The built-in resources alone.
    pub fn new() -> Registry {
        Registry {
            builtin: builtin(),
            custom: Arc::default(),
        }
    }

    /// The row of a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        match self.builtin.index.get(group) {
            Some(versions) => versions.get(version)?.get(plural),
            None => self.custom.index.get(group)?.get(version)?.get(plural),
        }
    }

    /// True if the group is built in: unknown things below it are a Status, not plain text (A7).
    pub fn is_builtin_group(&self, group: &str) -> bool {
        self.builtin.index.contains_key(group)
    }

    /// The row of a kind.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let index = match self.builtin.index.get(group) {
            Some(versions) => versions.get(version)?,
            None => self.custom.index.get(group)?.get(version)?,
        };
        index.values().find(|row| row.kind == kind)
    }

    /// Built-in rows in the order of discovery, then custom ones by group, version and plural.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let custom = self.custom.index.values();
        let custom = custom.flat_map(|versions| versions.values().flat_map(|rows| rows.values()));
        self.builtin.rows.iter().chain(custom)
    }

    /// Built-in groups in the order of discovery.
    pub fn builtin_groups(&self) -> &'static [Group] {
        &self.builtin.groups
    }

    /// The row objects of this id are stored as (any row of it, for names and scope).
    pub fn by_id(&self, id: ResourceId) -> Option<&Arc<Resource>> {
        match self.builtin.by_id.get(id.0 as usize) {
            Some(row) => Some(row),
            None => self.custom.by_id(id),
        }
    }

    /// Namespaces, which every write in one asks for.
    pub(crate) fn namespaces(&self) -> &Arc<Resource> {
        &self.builtin.by_id[self.builtin.namespaces]
    }

    /// Events, which every write might be to.
    pub(crate) fn events(&self) -> &Arc<Resource> {
        &self.builtin.by_id[self.builtin.events]
    }

    /// ResourceQuotas, which every creation asks for.
    pub(crate) fn quotas(&self) -> &Arc<Resource> {
        &self.builtin.by_id[self.builtin.quotas]
    }

    /// The custom resources.
    pub fn custom(&self) -> &custom::CustomResources {
        &self.custom
    }

    /// The custom resources, to change.
    pub fn custom_mut(&mut self) -> &mut custom::CustomResources {
        Arc::make_mut(&mut self.custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a1_built_in_rows_are_found_by_path_and_kind() {
        let registry = Registry::new();
        let row = registry.find("apps", "v1", "deployments").unwrap();
        assert_eq!(row.kind, "Deployment");
        assert!(row.namespaced && row.has_status() && row.verbs.has("deletecollection"));
        assert!(registry.find_kind("", "v1", "ConfigMap").is_some());
        assert!(registry.find("apps", "v2", "deployments").is_none());
    }

    #[test]
    fn o2_both_event_groups_share_their_objects() {
        let registry = Registry::new();
        let core = registry.find("", "v1", "events").unwrap();
        let new = registry.find("events.k8s.io", "v1", "events").unwrap();
        assert_eq!(core.id, new.id);
        assert_eq!(new.storage_version.0, "");
    }
}
