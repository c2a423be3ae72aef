//! The built-in rows, read once from `data/discovery.txt`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::{Facts, Group, Index, Resource, ResourceId, Subresource, Verbs, api_version};
use crate::json::{CompactString, to_vec};
use crate::schema::Schemas;
use crate::strategy;

static TABLE: &str = include_str!("../../data/discovery.txt");
static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| read(TABLE));

/// The built-in part of the registry, shared by all servers.
pub struct Builtin {
    pub(super) groups: Vec<Group>,
    pub(super) rows: Vec<Arc<Resource>>,
    pub(super) index: Index,
    /// The first row of each id.
    pub(super) by_id: Vec<Arc<Resource>>,
    /// Where namespaces, Events and quotas stand among them: every write asks for those.
    pub(super) namespaces: usize,
    pub(super) events: usize,
    pub(super) quotas: usize,
}

impl Builtin {
    /// How many sets of stored objects there are; custom resources get ids from here on.
    pub fn id_count(&self) -> u32 {
        self.by_id.len() as u32
    }
}

/// The built-in rows.
pub fn builtin() -> &'static Builtin {
    &BUILTIN
}

/// `"kind":…,"apiVersion":…`, what every object of the row begins with.
pub(super) fn type_head(group: &str, version: &str, kind: &str) -> bytes::Bytes {
    let mut head = b"\"kind\":".to_vec();
    head.extend(to_vec(&kind.into()));
    head.extend_from_slice(b",\"apiVersion\":");
    head.extend(to_vec(&api_version(group, version).into()));
    head.into()
}

fn read(table: &'static str) -> Builtin {
    let mut builtin = Builtin {
        groups: Vec::new(),
        rows: Vec::new(),
        index: Index::new(),
        by_id: Vec::new(),
        namespaces: 0,
        events: 0,
        quotas: 0,
    };
    // Rows of equal storage hash share their objects; the first row met gives the id.
    let mut ids: BTreeMap<&str, ResourceId> = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "g" => builtin.groups.push(Group {
                name: dashed(words[1]),
                preferred: words[2].into(),
                versions: listed(words[3]),
            }),
            "r" => {
                let hash = words[9];
                let next = ResourceId(builtin.by_id.len() as u32);
                let id = match hash {
                    "-" => next,
                    _ => *ids.entry(hash).or_insert(next),
                };
                let stored = builtin.by_id.get(id.0 as usize);
                let row = Arc::new(row(&words, id, stored.map(|row| &**row)));
                if stored.is_none() {
                    match (row.group.as_str(), row.plural.as_str()) {
                        ("", "namespaces") => builtin.namespaces = builtin.by_id.len(),
                        ("" | "events.k8s.io", "events") => builtin.events = builtin.by_id.len(),
                        ("", "resourcequotas") => builtin.quotas = builtin.by_id.len(),
                        _ => {}
                    }
                    builtin.by_id.push(row.clone());
                }
                let versions = builtin.index.entry(row.group.clone()).or_default();
                let rows = versions.entry(row.version.clone()).or_default();
                rows.insert(row.plural.clone(), row.clone());
                builtin.rows.push(row);
            }
            _ => {}
        }
    }
    builtin
}

fn row(words: &[&str], id: ResourceId, stored: Option<&Resource>) -> Resource {
    let (group, version) = words[1].split_once('/').expect("r GROUP/VERSION");
    let group = dashed(group);
    let (plural, kind) = (words[2], words[3]);
    Resource {
        id,
        version: version.into(),
        plural: plural.into(),
        singular: words[4].into(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        namespaced: words[5] == "N",
        verbs: Verbs::parse(words[6]),
        short_names: listed(words[7]),
        storage_version_hash: dashed(words[9]),
        categories: listed(words[8]),
        subresources: words[10..].iter().map(|word| subresource(word)).collect(),
        facts: Facts::builtin(&group, plural),
        strategy: strategy::of(&group, plural),
        storage_version: match stored {
            Some(first) => (first.group.clone(), first.version.clone()),
            None => (group.clone(), version.into()),
        },
        schema: Schemas::builtin().kind(&group, version, kind),
        custom: None,
        type_head: type_head(&group, version, kind),
        api_version: super::api_version(&group, version).into(),
        group,
    }
}

fn subresource(word: &str) -> Subresource {
    let (name, rest) = word.split_once('=').expect("SUBRESOURCE=KIND:VERBS");
    let mut parts = rest.splitn(3, ':');
    let mut part = || parts.next().map(CompactString::from);
    Subresource {
        name: name.into(),
        kind: part().expect("a kind"),
        verbs: Verbs::parse(&part().expect("verbs")),
        group_version: part(),
    }
}

fn dashed(word: &str) -> CompactString {
    if word == "-" { "" } else { word }.into()
}

fn listed(word: &str) -> Vec<CompactString> {
    match word {
        "-" => Vec::new(),
        _ => word.split(',').map(CompactString::from).collect(),
    }
}
