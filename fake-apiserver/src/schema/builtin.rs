//! The built-in types of kube-apiserver v1.36, read lazily from `data/types.txt`.
//!
//! One table for the whole process: loading it finds the line starts only, and a type's line is read when the type is first
//! asked for. The format is described in `data/pack_types.py`.

use std::sync::OnceLock;

use super::{Child, Field, ListType, Schema, Special, Type};
use crate::json::{self, CompactString, Value};

static TEXT: &str = include_str!("../../data/types.txt");

/// The built-in types.
pub struct Schemas {
    rows: Vec<Row>,
    kinds: OnceLock<Vec<([&'static str; 3], u16)>>,
}

struct Row {
    line: &'static str,
    schema: OnceLock<Box<Schema>>,
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schemas({})", self.rows.len())
    }
}

impl Schemas {
    /// The table, shared by all servers of the process.
    pub fn builtin() -> &'static Schemas {
        static TABLE: OnceLock<Schemas> = OnceLock::new();
        TABLE.get_or_init(|| Schemas {
            rows: TEXT
                .lines()
                .map(|line| Row {
                    line,
                    schema: OnceLock::new(),
                })
                .collect(),
            kinds: OnceLock::new(),
        })
    }

    /// A type by its OpenAPI name (`io.k8s.api.core.v1.Pod`).
    pub fn named(&'static self, name: &str) -> Option<&'static Schema> {
        self.index_of(name).map(|id| self.nth(id))
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<u16> {
        let at = self
            .rows
            .binary_search_by(|row| type_name(row.line).cmp(name));
        at.ok().map(|i| i as u16)
    }

    /// The type of a kind. Where several types share a kind (DeleteOptions in every group) the first is meant.
    pub fn kind(&'static self, group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
        let kinds = self.kinds.get_or_init(|| self.index_kinds());
        let wanted = [group, version, kind];
        let at = kinds.partition_point(|(gvk, _)| *gvk < wanted);
        let (gvk, id) = kinds.get(at)?;
        (*gvk == wanted).then(|| self.nth(*id))
    }

    /// All OpenAPI names in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.rows.iter().map(|row| type_name(row.line))
    }

    pub(crate) fn nth(&'static self, id: u16) -> &'static Schema {
        let row = &self.rows[usize::from(id)];
        row.schema.get_or_init(|| Box::new(read(row.line)))
    }

    fn index_kinds(&self) -> Vec<([&'static str; 3], u16)> {
        let mut kinds: Vec<([&'static str; 3], u16)> = Vec::new();
        for (id, row) in self.rows.iter().enumerate() {
            let head = row.line.split('\t').next().unwrap_or_default();
            kinds.extend(gvks(head).into_iter().map(|gvk| (gvk, id as u16)));
        }
        kinds.sort();
        kinds
    }
}

fn type_name(line: &'static str) -> &'static str {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    &line[..end]
}

fn gvks(head: &'static str) -> Vec<[&'static str; 3]> {
    let Some(list) = head.split(' ').find_map(|part| part.strip_prefix('=')) else {
        return Vec::new();
    };
    list.split(';')
        .filter_map(|gvk| {
            let mut parts = gvk.split(',');
            Some([parts.next()?, parts.next()?, parts.next()?])
        })
        .collect()
}

fn read(line: &'static str) -> Schema {
    let mut columns = line.split('\t');
    let head = columns.next().unwrap_or_default();
    let mut schema = Schema {
        name: Some(type_name(line)),
        kind: Type::Object,
        gvks: gvks(head),
        ..Schema::default()
    };
    for part in head.split(' ').skip(1) {
        if let Some(map_type) = part.strip_prefix('^') {
            schema.map_atomic = map_type == "atomic";
        }
        if let Some(special) = part.strip_prefix('~') {
            (schema.special, schema.kind) = special_of(special);
            schema.preserve_unknown = schema.special != Special::None;
            schema.int_or_string = schema.special == Special::IntOrString;
        }
    }
    for column in columns {
        let (field, required) = field(column);
        if required {
            schema.required.push(field.name.clone());
        }
        schema.fields.push(field);
    }
    schema
}

fn special_of(name: &str) -> (Special, Type) {
    match name {
        "json" => (Special::Json, Type::Any),
        "schema-or-array" => (Special::SchemaOrArray, Type::Any),
        "schema-or-bool" => (Special::SchemaOrBool, Type::Any),
        "schema-or-strings" => (Special::SchemaOrStrings, Type::Any),
        "quantity" => (Special::Quantity, Type::Any),
        "fields" => (Special::Fields, Type::Object),
        "micro-time" => (Special::MicroTime, Type::String),
        "time" => (Special::Time, Type::String),
        "raw" => (Special::Raw, Type::Object),
        "int-or-string" => (Special::IntOrString, Type::Any),
        _ => unreachable!("data/types.txt names only the special types of its generator"),
    }
}

fn field(column: &'static str) -> (Field, bool) {
    let mut parts = column.split(' ');
    let name = parts.next().unwrap_or_default();
    let child = child(parts.next().unwrap_or_default());
    let mut field = Field {
        name: CompactString::const_new(name),
        child,
        pointer: false,
        kept: false,
        default: None,
        map_type: None,
        patch_strategy: None,
        patch_merge_key: None,
    };
    let mut required = false;
    for part in parts {
        match part.split_at(1) {
            ("!", _) => required = true,
            ("*", _) => field.pointer = true,
            ("+", _) => field.kept = true,
            ("d", text) => field.default = Some(value(&text[1..])),
            ("D", text) => element(&mut field, |schema| {
                schema.default = Some(value(&text[1..]))
            }),
            ("M", text) => field.map_type = Some(CompactString::const_new(&text[1..])),
            ("S", text) => field.patch_strategy = Some(CompactString::const_new(&text[1..])),
            ("G", text) => field.patch_merge_key = Some(CompactString::const_new(&text[1..])),
            ("L", text) => own(&mut field, |schema| {
                schema.list_type = Some(match &text[1..] {
                    "map" => ListType::Map,
                    "set" => ListType::Set,
                    _ => ListType::Atomic,
                });
            }),
            ("K", text) => own(&mut field, |schema| {
                schema.list_map_keys = text[1..].split(',').map(CompactString::const_new).collect();
            }),
            _ => unreachable!("data/types.txt has only the attributes of its generator"),
        }
    }
    if let (Some(map_type), Child::Own(schema)) = (&field.map_type, &mut field.child) {
        schema.map_atomic = map_type == "atomic";
    }
    (field, required)
}

fn own(field: &mut Field, change: impl FnOnce(&mut Schema)) {
    if let Child::Own(schema) = &mut field.child {
        change(schema);
    }
}

// Elements that are built-in types of their own are structs; Go fills those in by itself.
fn element(field: &mut Field, change: impl FnOnce(&mut Schema)) {
    own(field, |schema| {
        if let Some(Child::Own(element)) = schema.items.as_mut().or(schema.values.as_mut()) {
            change(element);
        }
    });
}

fn child(code: &'static str) -> Child {
    let (head, rest) = code.split_at(1);
    let mut schema = Schema::default();
    match head {
        "@" => return Child::Builtin(rest.parse().unwrap_or_default()),
        "[" => {
            schema.kind = Type::Array;
            schema.items = Some(child(rest));
        }
        "{" => {
            schema.kind = Type::Object;
            schema.values = Some(child(rest));
        }
        "s" => schema.kind = Type::String,
        "y" => {
            schema.kind = Type::String;
            schema.special = Special::Bytes;
            schema.format = Some(CompactString::const_new("byte"));
        }
        "i" => {
            schema.kind = Type::Integer;
            schema.format = Some(CompactString::const_new("int32"));
        }
        "l" => {
            schema.kind = Type::Integer;
            schema.format = Some(CompactString::const_new("int64"));
        }
        "f" => {
            schema.kind = Type::Number;
            schema.format = Some(CompactString::const_new("double"));
        }
        "b" => schema.kind = Type::Boolean,
        _ => {
            schema.preserve_unknown = true;
            schema.special = Special::Json;
        }
    }
    if let Some(list) = rest.strip_prefix('#')
        && let Value::Array(values) = value(list)
    {
        schema.enumeration = values;
    }
    Child::Own(Box::new(schema))
}

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_and_every_reference_leads_somewhere() {
        let table = Schemas::builtin();
        assert_eq!(table.rows.len(), 578);
        for (id, name) in table.names().enumerate() {
            let schema = table.nth(id as u16);
            assert_eq!(schema.name(), Some(name));
            for field in schema.fields() {
                let _ = field.schema();
                let _ = field.schema().items().or(field.schema().values());
            }
        }
    }

    #[test]
    fn facts_of_a_pod_and_a_deployment() {
        let pod = Schemas::builtin().kind("", "v1", "Pod").unwrap();
        let spec = pod.child("spec").unwrap();
        let containers = spec.field("containers").unwrap();
        assert_eq!(containers.patch_merge_key(), Some("name"));
        assert_eq!(containers.patch_strategy(), Some("merge"));
        assert_eq!(containers.schema().list_type(), ListType::Map);
        let ports = containers.schema().items().unwrap().child("ports").unwrap();
        assert_eq!(ports.list_map_keys(), ["containerPort", "protocol"]);
        let deployment = Schemas::builtin().kind("apps", "v1", "Deployment").unwrap();
        let strategy = deployment.child("spec").unwrap().field("strategy").unwrap();
        assert_eq!(strategy.patch_strategy(), Some("retainKeys"));
        assert!(spec.field("nodeSelector").unwrap().map_atomic());
        assert!(Schemas::builtin().kind("apps", "v1", "Nothing").is_none());
    }
}
