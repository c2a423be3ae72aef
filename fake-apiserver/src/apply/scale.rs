//! managedFields between an object and its `/scale` (F9, S5).
//!
//! A Scale is tracked as an object of its own, of version autoscaling/v1: who owns the replicas of the parent owns
//! `spec.replicas` of the Scale. Owns the way there and back. The identity of an Update entry includes its version, so on
//! the way back Update entries are always made anew, without a time.
//! Source: apimachinery `util/managedfields/scalehandler.go`.

use super::entries::{self, Entry};
use super::field_set::FieldSet;
use crate::json::{CompactString, Value};

/// The version a Scale is tracked in.
pub const SCALE_VERSION: &str = "autoscaling/v1";

const REPLICAS: [&str; 2] = ["f:spec", "f:replicas"];

/// Where the replicas of the parent's versions are; `None` for a version that does not exist.
pub type ReplicasPath<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// The managedFields of a Scale, from those of its parent.
pub fn to_scale(parent: Option<&Value>, path_of: ReplicasPath<'_>) -> Vec<Value> {
    let entries = parent.cloned().map(entries::read_stored);
    let owners = entries
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| path_of(&entry.api_version).is_some_and(|path| has(&entry.fields, &path)));
    owners
        .map(|entry| {
            Entry {
                api_version: CompactString::const_new(SCALE_VERSION),
                fields: FieldSet::of_path(&REPLICAS),
                ..entry
            }
            .write()
        })
        .collect()
}

/// Books what became of a Scale's managedFields on those of its parent, whose version is `api_version`.
pub fn to_parent(
    parent: &mut Value,
    scale: Option<&Value>,
    api_version: &str,
    path_of: ReplicasPath<'_>,
) {
    let stored = super::managed::take_managed_fields(parent);
    let stored = stored.map(entries::read_stored).unwrap_or_default();
    let mut scaled = scale.cloned().map(entries::read_stored).unwrap_or_default();
    let mut out = Vec::new();
    for mut entry in stored {
        let Some(path) = path_of(&entry.api_version) else {
            continue;
        };
        if !has(&entry.fields, &path) {
            out.push(entry);
            continue;
        }
        match scaled.iter().position(|other| other.same_manager(&entry)) {
            Some(at) => {
                scaled.remove(at);
                out.push(entry);
            }
            None => {
                entry.fields.subtract(&set(&path));
                if !entry.fields.is_empty() {
                    out.push(entry);
                }
            }
        }
    }
    let Some(path) = path_of(api_version) else {
        return entries::write(parent, out);
    };
    for entry in scaled {
        if entry.fields.has(&REPLICAS) {
            out.push(Entry {
                api_version: api_version.into(),
                fields: set(&path),
                time: None,
                ..entry
            });
        }
    }
    entries::write(parent, out);
}

fn keys(path: &[String]) -> Vec<String> {
    path.iter().map(|name| format!("f:{name}")).collect()
}

fn set(path: &[String]) -> FieldSet {
    let keys = keys(path);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    FieldSet::of_path(&keys)
}

fn has(fields: &FieldSet, path: &[String]) -> bool {
    let keys = keys(path);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    fields.has(&keys)
}
