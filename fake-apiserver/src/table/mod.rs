//! Answers as Table and as PartialObjectMetadata (H13).
//!
//! Owns columns, cells and the shape of both documents. Does not own the choice between them (`request::media`) nor lists
//! and their metadata.

pub mod columns;
mod network;
mod path;
mod pods;
mod policy;
mod storage;
mod workloads;

use crate::json::{Map, Value};
use crate::time::Timestamp;

pub use columns::Column;

/// What stands beside the cells of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing: `object: null`.
    None,
    /// The metadata, as PartialObjectMetadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; the error is the message of the 400.
    pub fn parse(text: &str) -> Result<IncludeObject, String> {
        match text {
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "None" => Ok(IncludeObject::None),
            "Object" => Ok(IncludeObject::Object),
            other => Err(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
                crate::status::go_quote(other)
            )),
        }
    }
}

/// How objects of one kind are shown as rows.
#[derive(Clone, Debug)]
pub struct Printer<'a> {
    /// Group of the kind.
    pub group: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The columns.
    pub columns: std::borrow::Cow<'a, [Column]>,
    /// `v1` or `v1beta1` of meta.k8s.io.
    pub version: &'a str,
    /// What stands beside the cells.
    pub include: IncludeObject,
}

impl<'a> Printer<'a> {
    /// For a kind; `custom` is the entry of `spec.versions` of a custom resource.
    pub fn new(
        group: &'a str,
        kind: &'a str,
        custom: Option<&Value>,
        version: &'a str,
        include: IncludeObject,
    ) -> Printer<'a> {
        let columns = match custom {
            Some(version) => columns::custom(version).into(),
            None => columns::builtin(group, kind).into(),
        };
        Printer {
            group,
            kind,
            columns,
            version,
            include,
        }
    }

    /// The Table of some objects. `metadata` is that of the list, or of the single object; watch events after the first
    /// leave the columns out.
    pub fn table<'b>(
        &self,
        objects: impl IntoIterator<Item = &'b Value>,
        metadata: Value,
        with_columns: bool,
        now: Timestamp,
    ) -> Value {
        let rows: Vec<Value> = objects
            .into_iter()
            .map(|object| self.row(object, now))
            .collect();
        let definitions = if with_columns {
            Value::Array(self.columns.iter().map(columns::definition).collect())
        } else {
            Value::Null
        };
        let mut map = Map::new();
        map.insert("kind", "Table");
        map.insert(
            "apiVersion",
            format!("meta.k8s.io/{}", self.version).as_str(),
        );
        map.insert("metadata", metadata);
        map.insert("columnDefinitions", definitions);
        map.insert("rows", Value::Array(rows));
        Value::Object(map)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Value {
        let mut map = Map::new();
        map.insert("cells", Value::Array(self.cells(object, now)));
        let beside = match self.include {
            IncludeObject::None => Value::Null,
            IncludeObject::Metadata => partial(object, self.version),
            IncludeObject::Object => object.clone(),
        };
        map.insert("object", beside);
        if let Some(condition) = pods::row_condition(self.kind, object) {
            map.insert("conditions", Value::Array(vec![condition]));
        }
        Value::Object(map)
    }

    /// The cells of one object.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = Value::from(object.str_at(&["metadata", "name"]));
        if self
            .columns
            .iter()
            .any(|column| !column.json_path.is_empty())
        {
            let rest = self
                .columns
                .iter()
                .skip(1)
                .map(|column| custom_cell(column, object, now));
            return std::iter::once(name).chain(rest).collect();
        }
        if self.columns.len() == 1 {
            return vec![name];
        }
        if !columns::has_own(self.group, self.kind) {
            let created = match object.str_at(&["metadata", "creationTimestamp"]) {
                "" => "0001-01-01T00:00:00Z",
                created => created,
            };
            return vec![name, Value::from(created)];
        }
        let cell = |column: &Column| match column.name.as_str() {
            "Name" => name.clone(),
            "Age" => age(object, now),
            header => cell(self.kind, header, object, now),
        };
        if storage::is_default_class(self.kind, object) {
            let shown = format!("{} (default)", object.str_at(&["metadata", "name"]));
            let rest = self.columns.iter().skip(1).map(cell);
            return std::iter::once(Value::from(shown.as_str()))
                .chain(rest)
                .collect();
        }
        self.columns.iter().map(cell).collect()
    }
}

/// The metadata of an object, as PartialObjectMetadata.
pub fn partial(object: &Value, version: &str) -> Value {
    let mut map = Map::new();
    map.insert("kind", "PartialObjectMetadata");
    map.insert("apiVersion", format!("meta.k8s.io/{version}").as_str());
    map.insert(
        "metadata",
        object
            .get("metadata")
            .cloned()
            .unwrap_or_else(Value::object),
    );
    Value::Object(map)
}

/// The metadata of a list's objects, as PartialObjectMetadataList.
pub fn partial_list<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: Value,
    version: &str,
) -> Value {
    let items: Vec<Value> = objects
        .into_iter()
        .map(|object| partial(object, version))
        .collect();
    let mut map = Map::new();
    map.insert("kind", "PartialObjectMetadataList");
    map.insert("apiVersion", format!("meta.k8s.io/{version}").as_str());
    map.insert("metadata", metadata);
    let none = items.is_empty();
    let items = if none {
        Value::Null
    } else {
        Value::Array(items)
    };
    map.insert("items", items);
    Value::Object(map)
}

/// What `kubectl get` shows as a duration: two units at most, coarser as it grows.
pub fn human_duration(seconds: i64) -> String {
    let pair = |a: i64, unit: &str, b: i64, small: &str| match b {
        0 => format!("{a}{unit}"),
        b => format!("{a}{unit}{b}{small}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..-1 => "<invalid>".to_string(),
        -1 => "0s".to_string(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(hours / 24, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{}d", hours / 24),
        63_072_000..252_288_000 => pair(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// How long ago a time was; `<unknown>` if there is none.
fn since(text: &str, now: Timestamp) -> String {
    match Timestamp::parse_rfc3339(text) {
        Some(then) => human_duration((now.micros() - then.micros()).div_euclid(1_000_000)),
        None => "<unknown>".to_string(),
    }
}

fn age(object: &Value, now: Timestamp) -> Value {
    Value::from(since(object.str_at(&["metadata", "creationTimestamp"]), now).as_str())
}

/// The cell of a built-in kind under a header.
fn cell(kind: &str, header: &str, object: &Value, now: Timestamp) -> Value {
    let found = pods::cell(kind, header, object, now)
        .or_else(|| workloads::cell(kind, header, object, now))
        .or_else(|| network::cell(kind, header, object))
        .or_else(|| storage::cell(kind, header, object))
        .or_else(|| policy::cell(kind, header, object));
    found.unwrap_or(Value::Null)
}

fn custom_cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let Some(value) = path::first(&column.json_path, object).filter(|value| !value.is_null())
    else {
        return Value::Null;
    };
    match (column.kind.as_str(), value) {
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", value) => Value::from(crate::json::to_string(value).as_str()),
        ("integer", Value::Int(_) | Value::UInt(_)) => value.clone(),
        ("integer", Value::Float(number)) => Value::from(*number as i64),
        ("number", value) if value.is_number() => value.as_f64().map_or(Value::Null, Value::Float),
        ("date", Value::String(text)) => match Timestamp::parse_rfc3339(text) {
            Some(_) => Value::from(since(text, now).as_str()),
            None => Value::from("<invalid>"),
        },
        _ => Value::Null,
    }
}

/// Text of a cell.
fn text(value: impl AsRef<str>) -> Option<Value> {
    Some(Value::from(value.as_ref()))
}

/// A string field, or what stands for an absent one.
fn text_or(object: &Value, path: &[&str], absent: &str) -> Option<Value> {
    text(match object.str_at(path) {
        "" => absent,
        found => found,
    })
}

/// An integer field, 0 if absent.
fn number(object: &Value, path: &[&str]) -> i64 {
    object.i64_at(path).unwrap_or(0)
}

/// How many entries a list or map has.
fn count(object: &Value, path: &[&str]) -> i64 {
    match object.at(path) {
        Some(Value::Array(items)) => items.len() as i64,
        Some(Value::Object(map)) => map.len() as i64,
        _ => 0,
    }
}

/// `True`, `False`, `<unset>`.
fn boolean(object: &Value, path: &[&str]) -> &'static str {
    match object.at(path) {
        Some(Value::Bool(true)) => "True",
        Some(Value::Bool(false)) => "False",
        _ => "<unset>",
    }
}

/// `a=b,c=d`, `<none>` if empty.
fn labels(object: &Value, path: &[&str]) -> String {
    let pairs = object.at(path).and_then(Value::as_object);
    let pairs: Vec<String> = pairs.map_or(Vec::new(), |map| {
        map.iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect()
    });
    if pairs.is_empty() {
        "<none>".to_string()
    } else {
        pairs.join(",")
    }
}

/// A label selector as text, `<none>` if empty.
fn selector(object: &Value, path: &[&str]) -> String {
    let Some(selector) = object.at(path) else {
        return "<none>".to_string();
    };
    let mut parts: Vec<(String, String)> = Vec::new();
    if let Some(map) = selector.get("matchLabels").and_then(Value::as_object) {
        parts.extend(map.iter().map(|(key, value)| {
            (
                key.to_string(),
                format!("{key}={}", value.as_str().unwrap_or_default()),
            )
        }));
    }
    for expression in selector.array_at(&["matchExpressions"]) {
        let key = expression.str_at(&["key"]);
        let mut values: Vec<&str> = expression
            .array_at(&["values"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression.str_at(&["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        };
        parts.push((key.to_string(), text));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    if parts.is_empty() {
        return "<none>".to_string();
    }
    parts
        .into_iter()
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(",")
}

/// One field of every entry of a list, joined.
fn joined(object: &Value, path: &[&str], field: &str, by: &str) -> String {
    let items = object.array_at(path).iter();
    items
        .map(|item| item.str_at(&[field]))
        .collect::<Vec<_>>()
        .join(by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn h13_durations_as_people_read_them() {
        for (seconds, want) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (10_860, "3h1m"),
            (100_000, "27h"),
            (180_000, "2d2h"),
            (800_000, "9d"),
            (70_000_000, "2y80d"),
        ] {
            assert_eq!(human_duration(seconds), want);
        }
    }

    #[test]
    fn h13_a_table_of_config_maps() {
        let printer = Printer::new("", "ConfigMap", None, "v1", IncludeObject::None);
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:10Z"}, "data": {"k": "v"}, "binaryData": {"b": ""}});
        let table = printer.table(
            [&object],
            json!({"resourceVersion": "7"}),
            false,
            Timestamp::from_seconds(15),
        );
        let want = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
            "columnDefinitions": null, "rows": [{"cells": ["a", 2, "5s"], "object": null}]});
        assert_eq!(table, want);
    }

    #[test]
    fn h13_custom_cells_of_another_type_are_null() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "S", "type": "string", "jsonPath": ".spec.n"}, {"name": "I", "type": "integer", "jsonPath": ".spec.s"},
            {"name": "D", "type": "date", "jsonPath": ".spec.s"}, {"name": "M", "type": "string", "jsonPath": ".spec.none"}]});
        let printer = Printer::new("g", "Widget", Some(&version), "v1", IncludeObject::Metadata);
        let cells = printer.cells(
            &json!({"metadata": {"name": "w"}, "spec": {"n": 3, "s": "x"}}),
            Timestamp::from_seconds(0),
        );
        assert_eq!(
            Value::Array(cells),
            json!(["w", "3", null, "<invalid>", null])
        );
    }

    #[test]
    fn h13_selectors_as_text() {
        let object = json!({"s": {"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "Exists"}]}});
        assert_eq!(selector(&object, &["s"]), "a in (x,y),b=1,c");
        assert_eq!(selector(&object, &["none"]), "<none>");
    }
}
