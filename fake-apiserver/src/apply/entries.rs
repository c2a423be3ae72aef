//! `metadata.managedFields` as a list of entries: reading, checking, ordering, the cap, writing.
//!
//! Owns the form of the list. Does not own what a write does to the sets (`managed`, `applying`).
//! Source: apimachinery `util/managedfields/internal/{managedfields,capmanagers}.go`.

use std::collections::BTreeMap;

use super::field_set::FieldSet;
use crate::json::{CompactString, Map, Value};

/// More Update entries than this are merged into [`ANCIENT`].
const UPDATERS_MAX: usize = 10;

/// The manager that old Update entries are merged into.
const ANCIENT: &str = "ancient-changes";

/// One entry of managedFields. Who it is: manager, operation, subresource, and the version unless it applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: CompactString,
    pub(crate) applied: bool,
    pub(crate) api_version: CompactString,
    pub(crate) subresource: CompactString,
    pub(crate) time: Option<CompactString>,
    pub(crate) fields: FieldSet,
}

impl Entry {
    /// True if both entries are of one manager, as the server counts.
    pub(crate) fn same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.applied == other.applied
            && self.subresource == other.subresource
            && (self.applied || self.api_version == other.api_version)
    }

    /// The server's own key of a manager; conflicts are sorted by it.
    pub(crate) fn identifier(&self) -> String {
        let mut parts = vec![("manager", self.manager.as_str())];
        parts.push(("operation", if self.applied { "Apply" } else { "Update" }));
        if !self.applied {
            parts.push(("apiVersion", &self.api_version));
        }
        parts.push(("subresource", &self.subresource));
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| format!("\"{key}\":{}", Value::from(text)))
            .collect();
        format!("{{{}}}", parts.join(","))
    }

    /// The manager as conflict messages name it (F3).
    pub(crate) fn printed(&self) -> String {
        let mut text = crate::status::go_quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(" with subresource ");
            text.push_str(&crate::status::go_quote(&self.subresource));
        }
        if !self.applied {
            text.push_str(" using ");
            text.push_str(&self.api_version);
        }
        text
    }

    /// Reads an entry; `check` also validates the set, for entries that clients sent.
    fn read(value: Value, check: bool) -> Option<Entry> {
        let Value::Object(map) = value else {
            return None;
        };
        let mut entry = Entry::default();
        let (mut typed, mut operation) = (false, false);
        for (key, value) in map {
            match (key.as_str(), value) {
                ("manager", Value::String(text)) => entry.manager = text,
                ("apiVersion", Value::String(text)) => entry.api_version = text,
                ("subresource", Value::String(text)) => entry.subresource = text,
                ("time", Value::String(text)) => entry.time = Some(text),
                ("operation", Value::String(text)) => {
                    entry.applied = text == "Apply";
                    operation = entry.applied || text == "Update";
                }
                ("fieldsType", Value::String(text)) => typed = text == "FieldsV1",
                ("fieldsV1", Value::Null) => {}
                ("fieldsV1", fields) if check => entry.fields = FieldSet::parse(&fields)?,
                ("fieldsV1", Value::Object(fields)) => {
                    entry.fields = FieldSet::from_stored(fields);
                }
                _ => {}
            }
        }
        (typed && operation && !entry.api_version.is_empty()).then_some(entry)
    }

    /// The entry as stored.
    pub(crate) fn write(self) -> Value {
        const fn key(name: &'static str) -> CompactString {
            CompactString::const_new(name)
        }
        let operation = if self.applied { "Apply" } else { "Update" };
        let mut fields = Vec::with_capacity(7);
        fields.push((key("apiVersion"), self.api_version.into()));
        fields.push((key("fieldsType"), key("FieldsV1").into()));
        fields.push((key("fieldsV1"), self.fields.into_value()));
        fields.push((key("manager"), self.manager.into()));
        fields.push((key("operation"), key(operation).into()));
        if !self.subresource.is_empty() {
            fields.push((key("subresource"), self.subresource.into()));
        }
        if let Some(time) = self.time {
            fields.push((key("time"), time.into()));
        }
        Value::Object(Map::from_sorted(fields))
    }

    /// The order of entries (F7): operation, time (none first), manager, version, subresource.
    fn order(&self, other: &Entry) -> std::cmp::Ordering {
        let operation = (!self.applied).cmp(&!other.applied);
        operation
            .then_with(|| self.time.cmp(&other.time))
            .then_with(|| self.manager.cmp(&other.manager))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.subresource.cmp(&other.subresource))
    }
}

/// Reads stored managedFields. Of two Update entries of one manager, which a write to `/scale` may leave, the last counts.
pub(crate) fn read_stored(list: Value) -> Vec<Entry> {
    let Value::Array(items) = list else {
        return Vec::new();
    };
    let mut out: Vec<Entry> = Vec::with_capacity(items.len());
    for entry in items
        .into_iter()
        .filter_map(|item| Entry::read(item, false))
    {
        let twin = |other: &Entry| !other.applied && other.same_manager(&entry);
        match out.iter().position(twin).filter(|_| !entry.applied) {
            Some(at) => out[at] = entry,
            None => out.push(entry),
        }
    }
    out
}

/// Reads managedFields that a client sent; `None` if one entry is bad, which voids the list (F10).
pub(crate) fn read_sent(list: &Value) -> Option<Vec<Entry>> {
    let Value::Array(items) = list else {
        return Some(Vec::new());
    };
    // One entry a manager: the last wins.
    let mut by_manager: BTreeMap<String, Entry> = BTreeMap::new();
    for item in items {
        let entry = Entry::read(item.clone(), true)?;
        by_manager.insert(entry.identifier(), entry);
    }
    Some(by_manager.into_values().collect())
}

/// What is wrong with managedFields that admission left behind, in the server's words (AD6).
pub fn invalid_entries(list: &Value) -> Option<String> {
    let items = list.as_array()?;
    items.iter().enumerate().find_map(|(at, item)| {
        if !matches!(item.str_at(&["operation"]), "Apply" | "Update") {
            return Some("operation must be `Apply` or `Update`".to_owned());
        }
        if item.str_at(&["apiVersion"]).is_empty() {
            return Some("apiVersion must not be empty".to_owned());
        }
        match item.str_at(&["fieldsType"]) {
            "FieldsV1" => {}
            "" => return Some(format!("missing fieldsType in managed fields entry {at}")),
            other => {
                let other = crate::status::go_quote(other);
                return Some(format!(
                    "invalid fieldsType {other} in managed fields entry {at}"
                ));
            }
        }
        let fields = item.get("fieldsV1").filter(|fields| !fields.is_null())?;
        if FieldSet::parse(fields).is_some() {
            return None;
        }
        Some(unreadable(item, fields))
    })
}

fn unreadable(item: &Value, fields: &Value) -> String {
    let time = match item.str_at(&["time"]) {
        "" => "<nil>".to_owned(),
        time => format!("{} +0000 UTC", time.replace('T', " ").trim_end_matches('Z')),
    };
    let text = fields.to_string();
    let bad = fields.as_object().into_iter().flatten().map(|(key, _)| key);
    let bad = bad.filter(|key| !key.contains(':') && *key != ".");
    let bad = bad.take(1).collect::<String>();
    let byte = text.find(&bad).map_or(0, |at| at + bad.len() + 2);
    format!(
        "error decoding versioned set from {{{} {} {} {time} FieldsV1 {text} {}}}: error decoding set: parsing key as path element: missing colon: {bad}, error found in #{byte} byte of ...|{text}|..., bigger context ...|{text}|...",
        item.str_at(&["manager"]),
        item.str_at(&["operation"]),
        item.str_at(&["apiVersion"]),
        item.str_at(&["subresource"]),
    )
}

/// True for `[]` and `[{}]`, with which clients empty the list (F10).
pub(crate) fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// Merges the oldest Update entries into one where there are too many (F8).
pub(crate) fn cap(entries: &mut Vec<Entry>) {
    let mut updaters = entries.iter().filter(|entry| !entry.applied).count();
    if updaters <= UPDATERS_MAX {
        return;
    }
    let mut oldest: Vec<(Option<CompactString>, String, usize)> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| !entry.applied)
        .map(|(at, entry)| (entry.time.clone(), entry.identifier(), at))
        .collect();
    oldest.sort();
    let mut slots: Vec<Option<Entry>> = std::mem::take(entries).into_iter().map(Some).collect();
    // By version: the first entry met, which becomes the bucket when a second one comes.
    let mut first: BTreeMap<CompactString, usize> = BTreeMap::new();
    for (_, _, at) in oldest {
        if updaters <= UPDATERS_MAX {
            break;
        }
        let Some(version) = slots[at].as_ref().map(|entry| entry.api_version.clone()) else {
            continue;
        };
        let Some(&bucket) = first.get(&version) else {
            first.insert(version, at);
            continue;
        };
        let existing = slots.iter().position(|slot| {
            slot.as_ref().is_some_and(|entry| {
                entry.manager == ANCIENT
                    && !entry.applied
                    && entry.api_version == version
                    && entry.subresource.is_empty()
            })
        });
        let bucket = existing.unwrap_or(bucket);
        if bucket == at {
            continue;
        }
        let Some(merged) = slots[at].take() else {
            continue;
        };
        if let Some(entry) = slots[bucket].as_mut() {
            entry.manager = CompactString::const_new(ANCIENT);
            entry.subresource = CompactString::const_new("");
            entry.time = merged.time;
            entry.fields.union(merged.fields);
        }
        updaters -= 1;
    }
    entries.extend(slots.into_iter().flatten());
}

/// Writes the list into an object in the server's order; without entries there is no list.
pub(crate) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if entries.is_empty() {
        metadata.remove("managedFields");
        return;
    }
    entries.sort_by(Entry::order);
    let list: Vec<Value> = entries.into_iter().map(Entry::write).collect();
    metadata.insert("managedFields", Value::Array(list));
}
