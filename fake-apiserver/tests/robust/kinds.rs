//! Every list and every map of every built-in kind, made long: creating, changing and showing the object costs what its
//! size explains.

use std::collections::BTreeSet;

use fake_apiserver::json::{self, Map, Value};
use fake_apiserver::registry::{Registry, Resource};
use fake_apiserver::schema::{Schema, Special, Type};

use crate::growth::{APPLY, JSON, Plain, STRATEGIC, linear};
use crate::smoke::asked_runs;

/// Elements of the small case.
const SIZE: usize = 500;
/// One in so many is tried, unless a longer run is asked for as in `smoke`.
const STRIDE: usize = 24;
/// Fields deeper than this are those of types that stand elsewhere as well.
const DEPTH_MAX: usize = 8;

/// A step from a node to what is below it.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Item,
    Value,
}

#[test]
fn every_list_and_map_of_every_kind_may_be_long() {
    let registry = Registry::new();
    let mut seen = BTreeSet::new();
    let stride = if asked_runs().is_some() { 1 } else { STRIDE };
    let mut checked = 0;
    for row in registry.rows() {
        let Some(schema) = row.schema().filter(|_| row.verbs.has("create")) else {
            continue;
        };
        let mut found = Vec::new();
        collect(schema, &mut Vec::new(), &mut seen, &mut found);
        for steps in found {
            checked += 1;
            if checked % stride == 0 {
                check(row, schema, &steps);
            }
        }
    }
    assert!(checked > 300, "only {checked} lists and maps were found");
}

/// The ways to lists and maps, each field of each type once.
fn collect(
    schema: &Schema,
    way: &mut Vec<Step>,
    seen: &mut BTreeSet<(String, String)>,
    found: &mut Vec<Vec<Step>>,
) {
    if way.len() > DEPTH_MAX || schema.special() != Special::None {
        return;
    }
    match schema.kind() {
        Type::Object if schema.is_map() => {
            found.push(way.clone());
            if let Some(values) = schema.values() {
                way.push(Step::Value);
                collect(values, way, seen, found);
                way.pop();
            }
        }
        Type::Object => {
            let name = schema.name().unwrap_or_default();
            for field in schema.fields() {
                if seen.insert((name.to_owned(), field.name().to_owned())) {
                    way.push(Step::Field(field.name().to_owned()));
                    collect(field.schema(), way, seen, found);
                    way.pop();
                }
            }
        }
        Type::Array => {
            found.push(way.clone());
            if let Some(items) = schema.items() {
                way.push(Step::Item);
                collect(items, way, seen, found);
                way.pop();
            }
        }
        _ => {}
    }
}

/// Where objects of a kind are created.
pub(crate) fn collection(row: &Resource) -> String {
    let root = if row.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let namespace = if row.namespaced {
        "namespaces/default/"
    } else {
        ""
    };
    format!("{root}/{}/{namespace}{}", row.api_version(), row.plural)
}

fn check(row: &Resource, schema: &Schema, way: &[Step]) {
    let shown: Vec<String> = way.iter().map(|step| format!("{step:?}")).collect();
    let name = format!("{} {}", row.kind, shown.join(" "));
    let target = collection(row);
    let body = |size: usize| {
        let mut object = Value::object();
        object.set(&["metadata", "name"], "a");
        grow(schema, way, size, &mut object);
        object.set(&["apiVersion"], row.api_version());
        object.set(&["kind"], &row.kind);
        json::to_vec(&object)
    };
    let prepare = |size| (Plain::new(), body(size));
    linear(&name, SIZE, prepare, |(mut plain, body)| {
        let created = plain.send("POST", &target, JSON, body.clone());
        if created.status() == 201 {
            let named = format!("{target}/a");
            let changed = [&body[..body.len() - 1], b",\"x\":1}"].concat();
            plain.send("PUT", &named, JSON, changed.clone());
            plain.send("PATCH", &named, STRATEGIC, changed);
            plain.send(
                "PATCH",
                &format!("{named}?fieldManager=m&force=1"),
                APPLY,
                body,
            );
        }
    });
}

/// Puts `size` elements at the end of a way, and something simple along it.
fn grow(schema: &Schema, way: &[Step], size: usize, value: &mut Value) {
    match way.split_first() {
        None if schema.kind() == Type::Array => {
            let items = schema.items();
            *value = (0..size)
                .map(|i| items.map_or(Value::Null, |items| element(items, i, 2)))
                .collect();
        }
        None => {
            let values = schema.values();
            let fields = (0..size).map(|i| {
                let below = values.map_or(Value::from("v"), |values| element(values, i, 2));
                (format!("k{i}"), below)
            });
            *value = Value::Object(fields.collect::<Map>());
        }
        Some((Step::Field(name), rest)) => {
            if let Some(below) = schema.child(name) {
                grow(
                    below,
                    rest,
                    size,
                    value.make_object().get_or_insert(name, Value::Null),
                );
            }
        }
        Some((Step::Item, rest)) => {
            if let Some(items) = schema.items() {
                let mut item = element(items, 0, 1);
                grow(items, rest, size, &mut item);
                *value = vec![item].into_iter().collect();
            }
        }
        Some((Step::Value, rest)) => {
            if let Some(values) = schema.values() {
                let mut item = element(values, 0, 1);
                grow(values, rest, size, &mut item);
                value.make_object().insert("k", item);
            }
        }
    }
}

/// An element unlike all others, its scalars filled in.
fn element(schema: &Schema, i: usize, depth: usize) -> Value {
    match (schema.kind(), schema.special()) {
        (_, Special::Quantity) => Value::from(format!("{i}")),
        (_, Special::IntOrString) => Value::from(i),
        (_, Special::Time | Special::MicroTime) => Value::from("2026-01-01T00:00:00Z"),
        (_, special) if special != Special::None => Value::object(),
        (Type::String, _) => Value::from(format!("x{i}")),
        (Type::Integer | Type::Number, _) => Value::from(i % 60_000 + 1),
        (Type::Boolean, _) => Value::Bool(true),
        (Type::Array, _) => Value::Array(Vec::new()),
        (Type::Object, _) if depth > 0 && !schema.is_map() => {
            let fields = schema.fields().iter();
            let fields = fields.filter(|field| {
                !matches!(
                    field.schema().kind(),
                    Type::Array | Type::Boolean | Type::Any
                )
            });
            fields
                .map(|field| (field.name(), element(field.schema(), i, depth - 1)))
                .collect::<Map>()
                .into()
        }
        _ => Value::object(),
    }
}
