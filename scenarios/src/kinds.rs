//! The kinds a scenario can speak of: those built into the API server and those its CRDs define.
//!
//! Owns the way from a kind's name, as a workload step gives it, to its API version and scope. Does not own schemas.

use std::collections::BTreeMap;

use crate::error::{Error, Problem, Result};
use crate::load::Object;
use crate::source::Place;

/// One kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// All kinds of one scenario. A name may stand for kinds of several groups; the first is meant.
#[derive(Clone, Debug)]
pub struct Kinds(BTreeMap<String, Vec<Kind>>);

impl Kinds {
    /// The built-in kinds and those of `crds`. A CRD's kind goes before a built-in one of its name.
    pub fn new(crds: &[Object]) -> Self {
        let mut kinds = BTreeMap::<String, Vec<Kind>>::new();
        for crd in crds {
            let version = crd
                .json
                .pointer("/spec/versions")
                .and_then(|versions| versions.as_array())
                .into_iter()
                .flatten()
                .filter(|v| v["served"] == true)
                .max_by_key(|v| v["storage"] == true)
                .and_then(|v| v["name"].as_str())
                .unwrap_or_default();
            let kind = Kind {
                api_version: format!("{}/{version}", crd.text("/spec/group")),
                namespaced: crd.text("/spec/scope") != "Cluster",
            };
            kinds
                .entry(crd.text("/spec/names/kind").to_owned())
                .or_default()
                .push(kind);
        }
        for (name, kind) in built_in() {
            kinds.entry(name).or_default().push(kind);
        }
        Self(kinds)
    }

    /// The kind of that name, or an error at `place`.
    pub fn get(&self, name: &str, place: &Place) -> Result<&Kind> {
        match self.0.get(name).and_then(|kinds| kinds.first()) {
            Some(kind) => Ok(kind),
            None => Err(self.unknown(name, place)),
        }
    }

    /// The kind of an object as a file gives it.
    pub fn of(&self, object: &Object) -> Result<&Kind> {
        let (kind, version) = (object.text("/kind"), object.text("/apiVersion"));
        let group = |v: &str| {
            v.split_once('/')
                .map_or(String::new(), |(g, _)| g.to_owned())
        };
        let named = self
            .0
            .get(kind)
            .ok_or_else(|| self.unknown(kind, &object.place))?;
        let found = named.iter().find(|k| k.api_version == version);
        found
            .or_else(|| {
                named
                    .iter()
                    .find(|k| group(&k.api_version) == group(version))
            })
            .ok_or_else(|| {
                let known: Vec<_> = named.iter().map(|k| k.api_version.as_str()).collect();
                Error::value(
                    &object.place,
                    format!("kind `{kind}` is not in `{version}`"),
                    format!("it is in {}", known.join(", ")),
                )
            })
    }

    fn unknown(&self, name: &str, place: &Place) -> Error {
        let all: Vec<String> = self.0.keys().cloned().collect();
        // Some ninety names are built in: only the near one helps.
        let known = match crate::error::nearest(name, &all) {
            Some(near) => vec![near.to_owned()],
            None => Vec::new(),
        };
        Error::at(
            place,
            Problem::UnknownWord {
                what: "kind",
                word: name.to_owned(),
                known,
                more: Some("custom kinds come from the files under `cluster.crds`".to_owned()),
            },
        )
    }
}

/// Every built-in kind once per group and version, in the order of discovery.
fn built_in() -> Vec<(String, Kind)> {
    let registry = fake_apiserver::registry::Registry::new();
    let row = |row: &std::sync::Arc<fake_apiserver::registry::Resource>| {
        let kind = Kind {
            api_version: row.api_version().to_owned(),
            namespaced: row.namespaced,
        };
        (row.kind.to_string(), kind)
    };
    registry.rows().map(row).collect()
}
