//! Sets of field paths, kept in the form managedFields has them (FieldsV1).
//!
//! Owns the set algebra of structured-merge-diff's `fieldpath.Set`: union, difference, intersection, filters, and the
//! check and canonical form of sets that clients send. Does not own which fields a write takes (`compare`, `typed`).
//! A set is its FieldsV1 tree: a key is a path element (`f:name`, `k:{…}`, `v:…`, `i:…`), `{}` is a member, `.` inside a
//! tree says that the node itself is a member too. So sets are read from and stored into objects without conversion.
//! Invariants: no node is an empty non-member, no node holds `.` alone, keys are canonical.
//! Source: structured-merge-diff v6 `fieldpath/{set,serialize,serialize-pe}.go`.

use crate::json::{self, CompactString, Map, Value};
use crate::status::cut_path;

/// The key that marks a node with children as a member itself.
pub(crate) const SELF: &str = ".";

/// More paths than this are not printed.
const PATHS_MAX: usize = 10_000;

/// A set of field paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FieldSet(Map);

impl FieldSet {
    /// The empty set.
    pub(crate) const fn new() -> FieldSet {
        FieldSet(Map::new())
    }

    /// Reads a set as stored, trusting its form.
    pub(crate) fn from_stored(map: Map) -> FieldSet {
        FieldSet(map)
    }

    /// Reads a set a client sent; `None` if it is none.
    pub(crate) fn parse(fields: &Value) -> Option<FieldSet> {
        let Value::Object(map) = fields else {
            return None;
        };
        let mut set = parse_level(map)?;
        set.remove(SELF);
        Some(FieldSet(set))
    }

    /// The FieldsV1 tree.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// True without members.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts what is in `node` below `key`; `member` says whether the node itself belongs to the set. Keys may come in any
    /// order, each once.
    pub(crate) fn put(&mut self, key: impl Into<CompactString>, node: FieldSet, member: bool) {
        let mut node = node.0;
        if node.is_empty() {
            if !member {
                return;
            }
        } else if member {
            node.insert(SELF, Value::object());
        }
        self.0.insert(key, Value::Object(node));
    }

    /// Adds all members of another set.
    pub(crate) fn union(&mut self, other: FieldSet) {
        union(&mut self.0, other.0);
    }

    /// Removes the members of another set, each path for itself.
    pub(crate) fn subtract(&mut self, other: &FieldSet) {
        subtract(&mut self.0, &other.0);
    }

    /// Removes a path and everything below it.
    pub(crate) fn cut(&mut self, path: &[&str]) {
        cut(&mut self.0, path);
    }

    /// Removes one member, leaving what is below it.
    pub(crate) fn drop_member(&mut self, path: &[&str]) {
        drop_member(&mut self.0, path);
    }

    /// Removes fields that are members of one node, leaving what is below them.
    pub(crate) fn drop_members_below(&mut self, node: &str, members: &[&str]) {
        change_below(&mut self.0, node, |node| {
            node.retain(|key, node| {
                let named = key
                    .strip_prefix("f:")
                    .is_some_and(|name| members.contains(&name));
                !named || change_node(node.make_object(), |_| Some(false))
            });
            None
        });
    }

    /// The members both sets have.
    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        FieldSet(intersection(&self.0, &other.0))
    }

    /// True if every member of `other` is one of this set.
    pub(crate) fn contains(&self, other: &FieldSet) -> bool {
        contains(&self.0, &other.0)
    }

    /// The tree itself.
    pub(crate) fn tree(&self) -> &Map {
        &self.0
    }

    /// True if the path below a chain of keys is a member.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        let mut here = &self.0;
        for key in parents {
            match here.get(key) {
                Some(Value::Object(node)) => here = node,
                _ => return false,
            }
        }
        has_member(here, last)
    }

    /// A set with one path.
    pub(crate) fn of_path(path: &[&str]) -> FieldSet {
        let mut set = FieldSet::new();
        for (depth, key) in path.iter().rev().enumerate() {
            let mut outer = FieldSet::new();
            outer.put(*key, set, depth == 0);
            set = outer;
        }
        set
    }

    /// The paths in the server's order (members of a node before what is nested), as conflicts print them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        paths(&self.0, &mut String::new(), &mut out);
        out
    }
}

/// True if a node of a tree is a member of the set.
pub(crate) fn is_member(node: &Map) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// True if `key` is a member at this level of the tree.
pub(crate) fn has_member(level: &Map, key: &str) -> bool {
    matches!(level.get(key), Some(Value::Object(node)) if is_member(node))
}

/// What a level holds below `key`, if anything.
pub(crate) fn below<'a>(level: &'a Map, key: &str) -> Option<&'a Map> {
    match level.get(key) {
        Some(Value::Object(node)) if has_children(node) => Some(node),
        _ => None,
    }
}

fn has_children(node: &Map) -> bool {
    node.len() > usize::from(node.contains_key(SELF))
}

fn child_map(value: &Value) -> &Map {
    static EMPTY: Map = Map::new();
    value.as_object().unwrap_or(&EMPTY)
}

/// The children of a level, without its own mark.
pub(crate) fn children(level: &Map) -> impl Iterator<Item = (&str, &Map)> {
    level
        .iter()
        .filter(|(key, _)| *key != SELF)
        .map(|(key, node)| (key, child_map(node)))
}

fn union(into: &mut Map, other: Map) {
    if into.is_empty() {
        *into = other;
        return;
    }
    let mut new = Vec::new();
    for (key, node) in other {
        let Value::Object(mut node) = node else {
            continue;
        };
        match into.get_mut(&key) {
            None => new.push((key, Value::Object(node))),
            Some(_) if key == SELF => {}
            Some(there) => {
                let there = there.make_object();
                let member = is_member(there) || is_member(&node);
                node.remove(SELF);
                there.remove(SELF);
                union(there, node);
                if member && !there.is_empty() {
                    there.insert(SELF, Value::object());
                }
            }
        }
    }
    into.add_new(new);
}

fn subtract(from: &mut Map, other: &Map) {
    let taken = |theirs: &Map, node: &mut Map| {
        if !node.is_empty() {
            subtract(node, theirs);
        }
        is_member(theirs).then_some(false)
    };
    if other.len() < 32 {
        for (key, theirs) in children(other) {
            change_below(from, key, |node| taken(theirs, node));
        }
        return;
    }
    from.retain(|key, node| match other.get(key) {
        Some(Value::Object(theirs)) if key != SELF => {
            change_node(node.make_object(), |node| taken(theirs, node))
        }
        _ => true,
    });
}

fn cut(level: &mut Map, path: &[&str]) {
    match path {
        [] => {}
        [last] => {
            level.remove(last);
        }
        [key, rest @ ..] => change_below(level, key, |node| {
            cut(node, rest);
            None
        }),
    }
}

fn drop_member(level: &mut Map, path: &[&str]) {
    match path {
        [] => {}
        [last] => change_below(level, last, |_| Some(false)),
        [key, rest @ ..] => change_below(level, key, |node| {
            drop_member(node, rest);
            None
        }),
    }
}

/// Changes what is below a key and, where the change says so, whether the node itself is a member.
fn change_below(level: &mut Map, key: &str, change: impl FnOnce(&mut Map) -> Option<bool>) {
    if let Some(node) = level.get_mut(key)
        && !change_node(node.make_object(), change)
    {
        level.remove(key);
    }
}

/// [`change_below`] for the node at hand; false if nothing is left of it.
fn change_node(node: &mut Map, change: impl FnOnce(&mut Map) -> Option<bool>) -> bool {
    let was_member = is_member(node);
    node.remove(SELF);
    let member = change(node).unwrap_or(was_member);
    if member && !node.is_empty() {
        node.insert(SELF, Value::object());
    }
    member || !node.is_empty()
}

fn intersection(a: &Map, b: &Map) -> Map {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = FieldSet::new();
    for (key, one) in children(few) {
        let Some(Value::Object(two)) = many.get(key) else {
            continue;
        };
        let nested = FieldSet(intersection(one, two));
        out.put(key, nested, is_member(one) && is_member(two));
    }
    out.0
}

fn contains(a: &Map, b: &Map) -> bool {
    children(b).all(|(key, theirs)| match a.get(key) {
        Some(Value::Object(ours)) => {
            (!is_member(theirs) || is_member(ours)) && contains(ours, theirs)
        }
        _ => false,
    })
}

fn parse_level(map: &Map) -> Option<Map> {
    // Canonical keys need not come in the order of the ones sent, so they are sorted at the end.
    let mut out: Vec<(CompactString, Value)> = Vec::with_capacity(map.len());
    for (key, node) in map {
        let Value::Object(node) = node else {
            return None;
        };
        if key == SELF {
            out.push((CompactString::const_new(SELF), Value::object()));
            continue;
        }
        let nested = parse_level(node)?;
        let alone = nested.len() == 1 && nested.contains_key(SELF);
        let nested = if alone { Map::new() } else { nested };
        out.push((canonical_key(key)?, Value::Object(nested)));
    }
    Some(out.into_iter().collect())
}

fn canonical_key(key: &str) -> Option<CompactString> {
    let (kind, rest) = key.split_at_checked(2)?;
    match kind {
        "f:" => Some(key.into()),
        "i:" => rest.parse::<i64>().ok().map(|_| key.into()),
        "v:" => Some(value_key(&json::parse(rest.as_bytes()).ok()?)),
        "k:" => match json::parse(rest.as_bytes()).ok()? {
            value @ Value::Object(_) => Some(keyed(b"k:", &value)),
            _ => None,
        },
        _ => None,
    }
}

/// The element of a set list.
pub(crate) fn value_key(value: &Value) -> CompactString {
    keyed(b"v:", value)
}

/// The element of a map list, its keys in order.
pub(crate) fn item_key<'a>(keys: impl Iterator<Item = (&'a str, &'a Value)>) -> CompactString {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(b"k:{");
    for (i, (name, value)) in keys.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::write_string(name, &mut out);
        out.push(b':');
        json::write(value, &mut out);
    }
    out.push(b'}');
    compact(out)
}

/// The element of an object's field.
pub(crate) fn field_key(name: &str) -> CompactString {
    let mut short = [0; 24];
    let length = name.len() + 2;
    if let Some(key) = short.get_mut(..length) {
        key[..2].copy_from_slice(b"f:");
        key[2..].copy_from_slice(name.as_bytes());
        if let Ok(key) = std::str::from_utf8(key) {
            return CompactString::from(key);
        }
    }
    let mut key = CompactString::with_capacity(length);
    key.push_str("f:");
    key.push_str(name);
    key
}

fn keyed(kind: &[u8], value: &Value) -> CompactString {
    let mut out = kind.to_vec();
    json::write(value, &mut out);
    compact(out)
}

fn compact(bytes: Vec<u8>) -> CompactString {
    CompactString::from_utf8(bytes).expect("JSON written from strings is UTF-8")
}

/// Appends a path element as messages print it: `.name`, `[name="c"]`, `[="v"]`, `[3]`.
pub(crate) fn print_element(key: &str, out: &mut String) {
    match key.split_at_checked(2) {
        Some(("f:", name)) => {
            out.push('.');
            out.push_str(name);
        }
        Some(("k:", object)) => {
            out.push('[');
            if let Ok(Value::Object(map)) = json::parse(object.as_bytes()) {
                for (i, (name, value)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    out.push('=');
                    out.push_str(&plain(value));
                }
            }
            out.push(']');
        }
        Some(("v:", value)) => {
            out.push_str("[=");
            match json::parse(value.as_bytes()) {
                Ok(value) => out.push_str(&plain(&value)),
                Err(_) => out.push_str(value),
            }
            out.push(']');
        }
        Some(("i:", index)) => {
            out.push('[');
            out.push_str(index);
            out.push(']');
        }
        _ => out.push_str(key),
    }
}

/// A value as `value.ToString` of structured-merge-diff prints it (strings quoted the Go way).
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => crate::status::go_quote(text),
        other => other.to_string(),
    }
}

fn ordered(level: &Map) -> Vec<(&str, &Map)> {
    let mut nodes: Vec<(&str, &Map)> = children(level).collect();
    nodes.sort_by(|a, b| compare_elements(a.0, b.0));
    nodes
}

/// The order of path elements: fields, keys, values, indexes; numbers by value.
fn compare_elements(a: &str, b: &str) -> std::cmp::Ordering {
    let rank = |key: &str| match key.as_bytes().first() {
        Some(b'f') => 0,
        Some(b'k') => 1,
        Some(b'v') => 2,
        _ => 3,
    };
    let tail = |key: &str| json::parse(key.get(2..).unwrap_or_default().as_bytes()).ok();
    rank(a).cmp(&rank(b)).then_with(|| {
        if rank(a) == 0 {
            return a.cmp(b);
        }
        match (tail(a), tail(b)) {
            (Some(Value::Object(one)), Some(Value::Object(two))) => {
                let pairs = one.iter().zip(two.iter());
                pairs
                    .map(|((k1, v1), (k2, v2))| k1.cmp(k2).then_with(|| compare_scalars(v1, v2)))
                    .find(|order| order.is_ne())
                    .unwrap_or_else(|| one.len().cmp(&two.len()))
            }
            (Some(one), Some(two)) => compare_scalars(&one, &two),
            _ => a.cmp(b),
        }
    })
}

fn compare_scalars(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

fn paths(level: &Map, prefix: &mut String, out: &mut Vec<String>) {
    let nodes = ordered(level);
    let length = prefix.len();
    for (key, node) in &nodes {
        if is_member(node) {
            print_element(key, prefix);
            cut_path(prefix);
            if out.len() < PATHS_MAX {
                out.push(prefix.clone());
            }
            prefix.truncate(length);
        }
    }
    for (key, node) in nodes {
        if has_children(node) {
            print_element(key, prefix);
            cut_path(prefix);
            paths(node, prefix, out);
            prefix.truncate(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn set(value: Value) -> FieldSet {
        FieldSet::parse(&value).expect("a set")
    }

    #[test]
    fn f6a_sets_keep_the_form_of_fields_v1() {
        let parsed =
            set(json!({"f:a": {".": {}, "k:{\"b\": 1, \"a\":\"x\"}": {}}, "f:b": {".": {}}}));
        assert_eq!(
            parsed.into_value(),
            json!({"f:a": {".": {}, "k:{\"a\":\"x\",\"b\":1}": {}}, "f:b": {}})
        );
        for bad in [
            json!({"bogus": {}}),
            json!("x"),
            json!({"f:a": 1}),
            json!({"k:[]": {}}),
            json!({"i:x": {}}),
        ] {
            assert_eq!(FieldSet::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn f8_set_algebra_treats_each_path_for_itself() {
        let mut a = set(json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:x": {}}));
        let b = set(json!({"f:data": {}, "f:x": {"f:y": {}}}));
        a.subtract(&b);
        assert_eq!(a, set(json!({"f:data": {"f:a": {}, "f:b": {}}, "f:x": {}})));
        a.union(b.clone());
        let all = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:x": {".": {}, "f:y": {}}});
        assert_eq!(a, set(all));
        assert_eq!(a.intersection(&b), b);
        assert!(a.contains(&b) && !b.contains(&a));
        a.cut(&["f:data"]);
        a.cut(&["f:x", "f:y"]);
        assert_eq!(a, set(json!({"f:x": {}})));
        a.drop_member(&["f:x"]);
        assert!(a.is_empty());
    }

    #[test]
    fn f3_paths_print_members_before_what_is_nested() {
        let a = set(json!({
            "f:spec": {"f:z": {}, "f:ports": {"k:{\"port\":443}": {".": {}, "f:name": {}},
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {}}, "f:l": {"v:\"x\"": {}}}
        }));
        assert_eq!(
            a.paths(),
            [
                ".spec.z",
                ".spec.l[=\"x\"]",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=443]",
                ".spec.ports[port=443].name",
            ]
        );
    }
}
