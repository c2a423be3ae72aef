//! The objects at the end of a run, so written that two runs of a setup can be compared.
//!
//! Left out: resourceVersions, uids, generations (and `observedGeneration`), managed fields, Leases, Events, the fields
//! under `settle.noise` and those that the property ignores. Times read `<time>`, uids and generated names stand for the
//! object they mean, generated objects are numbered by their contents, lists are sorted.
//!
//! Does not know names that an operator drew itself.

use std::collections::BTreeMap;

use fake_apiserver::json::{self, Value};
use fake_apiserver::time::Timestamp;

use super::diff;
use crate::event::ObjectKey;

/// Objects by the name that they have in every run, with the key they have in this one.
pub(super) struct EndState(BTreeMap<String, (ObjectKey, Value)>);

/// What is not the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The object in this run; in the other one if it is not there.
    pub(super) object: ObjectKey,
    pub(super) what: String,
}

/// Uids and generated names, and what stands for them; names in order of their length, the longest first.
type Aliases = Vec<(String, String)>;

impl EndState {
    /// The end state that these objects make.
    pub(super) fn new<'o>(
        objects: impl Iterator<Item = (ObjectKey, &'o Value)>,
        ignored: &[&str],
    ) -> EndState {
        let counted = |key: &ObjectKey| !matches!(key.resource.as_str(), "leases" | "events");
        let objects: Vec<(ObjectKey, Value)> = objects
            .filter(|(key, _)| counted(key))
            .map(|(key, object)| (key, without(object, ignored)))
            .collect();
        let aliases = aliases(&objects);
        let named = objects.into_iter().map(|(key, object)| {
            let name = aliased(&key.to_string(), &aliases);
            (name, (key, plain(&object, &aliases)))
        });
        EndState(named.collect())
    }

    /// How this one differs from that of the fault-free run, in order of the objects.
    pub(super) fn differs_from(&self, reference: &EndState) -> Vec<Difference> {
        let mut found = Vec::new();
        for (name, (key, object)) in &self.0 {
            let what = match reference.0.get(name) {
                None => "it is there, and in the fault-free run it is not".to_owned(),
                Some((_, other)) if other == object => continue,
                Some((_, other)) => told(other, object),
            };
            found.push(Difference {
                object: key.clone(),
                what,
            });
        }
        for (name, (key, _)) in &reference.0 {
            if !self.0.contains_key(name) {
                found.push(Difference {
                    object: key.clone(),
                    what: "it is not there, and in the fault-free run it is".to_owned(),
                });
            }
        }
        found
    }
}

/// The first field that differs, and how many more do.
fn told(reference: &Value, object: &Value) -> String {
    let fields = diff::changed_fields(reference, object);
    let Some(field) = fields.first() else {
        return "it is not the same".to_owned();
    };
    let shown = |of: &Value| match of.pointer(field) {
        None => "nothing".to_owned(),
        Some(value) => short(&json::to_string(value)),
    };
    let more = match fields.len() {
        1 => String::new(),
        n => format!(", and {} more differ", n - 1),
    };
    format!(
        "{field} is {}, and in the fault-free run {}{more}",
        shown(object),
        shown(reference)
    )
}

fn short(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn without(object: &Value, ignored: &[&str]) -> Value {
    let mut object = object.clone();
    for pointer in ignored {
        if let Some((parent, field)) = pointer.rsplit_once('/')
            && let Some(Value::Object(map)) = object.pointer_mut(parent)
        {
            map.remove(&field.replace("~1", "/").replace("~0", "~"));
        }
    }
    object
}

/// What stands for the uids and the generated names of these objects.
fn aliases(objects: &[(ObjectKey, Value)]) -> Aliases {
    let generated = |object: &Value| !object.str_at(&["metadata", "generateName"]).is_empty();
    let mut blank: Aliases = Vec::new();
    for (key, object) in objects {
        blank.push((uid(object), "<uid>".to_owned()));
        if generated(object) {
            blank.push((key.name.to_string(), "<name>".to_owned()));
        }
    }
    order(&mut blank);
    // Siblings are numbered by what they are, since neither their names nor their order says which is which.
    let mut families: BTreeMap<String, Vec<(String, &ObjectKey)>> = BTreeMap::new();
    for (key, object) in objects.iter().filter(|(_, object)| generated(object)) {
        let prefix = object.str_at(&["metadata", "generateName"]);
        let family = format!("{}/{}/{prefix}", key.resource, key.namespace);
        let contents = json::to_string(&plain(object, &blank));
        families.entry(family).or_default().push((contents, key));
    }
    let mut found: Aliases = Vec::new();
    for (family, mut members) in families {
        members.sort();
        let prefix = family.rsplit('/').next().unwrap_or_default();
        for (number, (_, key)) in members.iter().enumerate() {
            found.push((key.name.to_string(), format!("{prefix}#{number}")));
        }
    }
    order(&mut found);
    let uids = objects.iter().map(|(key, object)| {
        let name = aliased(&key.to_string(), &found);
        (uid(object), format!("<uid of {name}>"))
    });
    let mut all: Aliases = uids.collect();
    all.append(&mut found);
    order(&mut all);
    all
}

/// Longest first: a name may be the beginning of another.
fn order(aliases: &mut Aliases) {
    aliases.retain(|(name, _)| !name.is_empty());
    aliases.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
}

fn uid(object: &Value) -> String {
    object.str_at(&["metadata", "uid"]).to_owned()
}

fn aliased(text: &str, aliases: &Aliases) -> String {
    let mut text = text.to_owned();
    for (name, alias) in aliases {
        if text.contains(name.as_str()) {
            text = text.replace(name.as_str(), alias);
        }
    }
    text
}

/// A value as it would be in any run.
fn plain(value: &Value, aliases: &Aliases) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| {
                !matches!(
                    *key,
                    "resourceVersion"
                        | "uid"
                        | "generation"
                        | "observedGeneration"
                        | "managedFields"
                        | "deletionGracePeriodSeconds"
                )
            });
            let owner = map.get("uid").filter(|_| map.get("kind").is_some());
            let mut fields: Vec<(String, Value)> = kept
                .map(|(key, value)| (key.to_owned(), plain(value, aliases)))
                .collect();
            // An owner's uid says which object of that name is meant.
            if let Some(uid) = owner {
                fields.push(("uid".to_owned(), plain(uid, aliases)));
            }
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => {
            let mut items: Vec<(String, Value)> = items
                .iter()
                .map(|item| plain(item, aliases))
                .map(|item| (json::to_string(&item), item))
                .collect();
            items.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Array(items.into_iter().map(|(_, item)| item).collect())
        }
        value => match value.as_str() {
            Some(text) if Timestamp::parse_rfc3339(text).is_some() => Value::from("<time>"),
            Some(text) => Value::from(aliased(text, aliases)),
            None => value.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use fake_apiserver::json;

    use super::*;

    fn object(name: &str, uid: &str, more: Value) -> (ObjectKey, Value) {
        let key = ObjectKey {
            group: "".into(),
            resource: "configmaps".into(),
            namespace: "default".into(),
            name: name.into(),
        };
        let mut object = json!({"kind": "ConfigMap", "metadata": {"name": name, "uid": uid, "resourceVersion": uid}});
        for (field, value) in more.as_object().into_iter().flatten() {
            match field {
                "generateName" | "ownerReferences" => object.set(&["metadata", field], value),
                _ => object.set(&[field], value),
            }
        }
        (key, object)
    }

    fn differences(here: &[(ObjectKey, Value)], there: &[(ObjectKey, Value)]) -> Vec<String> {
        let state = |objects: &[(ObjectKey, Value)]| {
            let objects = objects.iter().map(|(key, object)| (key.clone(), object));
            EndState::new(objects, &["/data/noise"])
        };
        let found = state(here).differs_from(&state(there));
        found
            .into_iter()
            .map(|one| format!("{}: {}", one.object, one.what))
            .collect()
    }

    #[test]
    fn names_uids_times_order_and_noise_do_not_count() {
        let here = [
            object(
                "main",
                "u1",
                json!({"data": {"noise": "1", "at": "2026-01-01T00:00:00Z"}}),
            ),
            object(
                "c-xxxxx",
                "u2",
                json!({"generateName": "c-", "data": {"n": "2"}}),
            ),
            object(
                "c-yyyyy",
                "u3",
                json!({"generateName": "c-", "data": {"n": "1"}}),
            ),
            object(
                "r",
                "u4",
                json!({"ownerReferences": [{"kind": "A", "name": "c-xxxxx", "uid": "u2"}], "l": ["a", "b"]}),
            ),
        ];
        let there = [
            object(
                "main",
                "v1",
                json!({"data": {"noise": "2", "at": "2026-01-01T00:00:05Z"}}),
            ),
            object(
                "c-aaaaa",
                "v2",
                json!({"generateName": "c-", "data": {"n": "1"}}),
            ),
            object(
                "c-bbbbb",
                "v3",
                json!({"generateName": "c-", "data": {"n": "2"}}),
            ),
            object(
                "r",
                "v4",
                json!({"ownerReferences": [{"kind": "A", "name": "c-bbbbb", "uid": "v3"}], "l": ["b", "a"]}),
            ),
        ];
        assert_eq!(differences(&here, &there), [""; 0]);
    }

    #[test]
    fn what_differs_is_told() {
        let here = [
            object("main", "u1", json!({"data": {"a": "1"}})),
            object("more", "u2", json!({})),
        ];
        let there = [
            object("main", "v1", json!({"data": {"a": "2"}})),
            object("less", "v2", json!({})),
        ];
        assert_eq!(
            differences(&here, &there),
            [
                "configmaps/default/main: /data/a is \"1\", and in the fault-free run \"2\"",
                "configmaps/default/more: it is there, and in the fault-free run it is not",
                "configmaps/default/less: it is not there, and in the fault-free run it is",
            ]
        );
    }
}
