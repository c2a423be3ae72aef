//! Stories of ownership over built-in kinds, by rule number.

use super::*;
use crate::json;
use crate::json::Value;
use crate::schema::{Schema, Schemas};
use crate::time::Timestamp;

fn schema(group: &str, kind: &str) -> &'static Schema {
    Schemas::builtin().kind(group, "v1", kind).expect("a kind")
}

fn tracking<'a>(schema: &'a Schema, api_version: &'a str, manager: &'a str) -> Tracking<'a> {
    Tracking {
        schema,
        api_version,
        subresource: "",
        manager,
        now: Timestamp::from_seconds(1_000_000_000),
        ignored: Ignored::Nothing,
        by_webhook: false,
        converted: &[],
        other_version: &|_| None,
    }
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn sets(object: &Value) -> Vec<(String, String, String)> {
    object
        .array_at(&["metadata", "managedFields"])
        .iter()
        .map(|entry| {
            (
                entry.str_at(&["manager"]).to_owned(),
                entry.str_at(&["operation"]).to_owned(),
                entry["fieldsV1"].to_string(),
            )
        })
        .collect()
}

fn applied(live: Option<&Value>, manager: &str, data: Value) -> Value {
    let schema = schema("", "ConfigMap");
    apply(
        &tracking(schema, "v1", manager),
        live,
        &config_map(data),
        false,
    )
    .expect("no conflict")
}

#[test]
fn f8_a_create_owns_all_it_says() {
    let mut object = config_map(json!({"k": "v", "j": "u"}));
    track(
        &tracking(schema("", "ConfigMap"), "v1", "m"),
        None,
        &mut object,
    );
    assert_eq!(
        object["metadata"]["managedFields"],
        json!([{
            "manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2001-09-09T01:46:40Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:j": {}, "f:k": {}}}
        }])
    );
}

#[test]
fn f6a_struct_fields_have_no_dot_and_new_items_have() {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
                {"name": "c", "image": "i", "resources": {}}]}}
        },
        "status": {}
    });
    track(
        &tracking(schema("apps", "Deployment"), "apps/v1", "m"),
        None,
        &mut object,
    );
    assert_eq!(
        object["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {
            "f:replicas": {}, "f:selector": {}, "f:strategy": {"f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}":
                    {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}}}
            }
        }})
    );
}

#[test]
fn f8_an_update_takes_what_it_changes() {
    let live = {
        let mut object = config_map(json!({"k": "v", "j": "u"}));
        track(
            &tracking(schema("", "ConfigMap"), "v1", "m"),
            None,
            &mut object,
        );
        object
    };
    let mut new = live.clone();
    new["data"]["k"] = "w".into();
    track(
        &tracking(schema("", "ConfigMap"), "v1", "n"),
        Some(&live),
        &mut new,
    );
    let row = |manager: &str, set: &str| (manager.to_owned(), "Update".to_owned(), set.to_owned());
    assert_eq!(
        sets(&new),
        [
            row("m", r#"{"f:data":{".":{},"f:j":{}}}"#),
            row("n", r#"{"f:data":{"f:k":{}}}"#)
        ]
    );
}

#[test]
fn f5_apply_gives_up_and_co_owns() {
    let first = applied(None, "a", json!({"k": "v", "j": "u"}));
    let both = applied(Some(&first), "b", json!({"j": "u"}));
    let after = applied(Some(&both), "a", json!({}));
    assert_eq!(after["data"], json!({"j": "u"}));
    assert_eq!(
        sets(&after)
            .iter()
            .map(|(manager, _, set)| format!("{manager} {set}"))
            .collect::<Vec<_>>(),
        [r#"b {"f:data":{"f:j":{}}}"#, r#"a {"f:data":{}}"#]
    );
}

#[test]
fn f3_conflicts_name_manager_and_path() {
    let live = applied(None, "a", json!({"k": "v", "j": "u"}));
    let refused = apply(
        &tracking(schema("", "ConfigMap"), "v1", "b"),
        Some(&live),
        &config_map(json!({"k": "x", "j": "y"})),
        false,
    );
    assert_eq!(
        refused.expect_err("a conflict").message,
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.j\n- .data.k"
    );
}

#[test]
fn f6b_merged_lists_keep_the_applied_order() {
    let pod = |names: &str| {
        let items: Vec<Value> = names
            .split(' ')
            .map(|name| json!({"name": name, "image": "i"}))
            .collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": items}})
    };
    let schema = schema("", "Pod");
    for (live, applied, want) in [
        ("a b c d", "d a", "b c d a"),
        ("a b c d", "x c", "a b x c d"),
        ("a b c d", "x", "a b c d x"),
        ("a b c d", "c x a", "b c d x a"),
        ("a b c d", "b x d", "a b c x d"),
        ("a b c d", "x a y d z", "x a b c y d z"),
    ] {
        let live = pod(live);
        let merged = apply(
            &tracking(schema, "v1", "m"),
            Some(&live),
            &pod(applied),
            false,
        )
        .expect("no conflict");
        assert_eq!(merged["spec"], pod(want)["spec"]);
    }
}

#[test]
fn f12_typed_errors_use_the_servers_words() {
    let error = |body: Value| {
        let schema = schema("", "ConfigMap");
        apply(&tracking(schema, "v1", "m"), None, &body, false)
            .expect_err("an error")
            .message
            .clone()
    };
    assert_eq!(
        error(config_map(json!({"k": 5}))),
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value.valueUnstructured{Value:5}"
    );
    assert_eq!(
        error(config_map(json!("x"))),
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data: expected map, got &{x}"
    );
    let mut unknown = config_map(json!({}));
    unknown["nope"] = 1.into();
    assert_eq!(
        error(unknown),
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .nope: field not declared in schema"
    );
}

#[test]
fn hostile_sets_of_many_fields_take_no_quadratic_time() {
    let many = |odd: usize| -> Value {
        let fields = (0..20_000).map(|n| (format!("k{:06}", 2 * n + odd), Value::from("")));
        Value::Object(fields.collect())
    };
    let mut live = config_map(many(0));
    let schema = schema("", "ConfigMap");
    track(&tracking(schema, "v1", "m"), None, &mut live);
    // Interleaved additions by the same manager, then all of it taken over, then given up.
    let mut both = live.clone();
    if let (Value::Object(data), Value::Object(new)) = (&mut both["data"], many(1)) {
        data.add_new(new.into_iter().collect());
    }
    let mut grown = both.clone();
    track(&tracking(schema, "v1", "m"), Some(&live), &mut grown);
    let applied = apply(
        &tracking(schema, "v1", "a"),
        Some(&grown),
        &config_map(both["data"].clone()),
        true,
    )
    .expect("force");
    let left = apply(
        &tracking(schema, "v1", "a"),
        Some(&applied),
        &config_map(json!({})),
        false,
    )
    .expect("nobody else gives these up");
    assert_eq!(left["data"].as_object().map(json::Map::len), Some(40_000));
    let mut gone = left.clone();
    gone["data"] = Value::object();
    track(&tracking(schema, "v1", "n"), Some(&left), &mut gone);
    assert!(
        sets(&gone)
            .iter()
            .all(|(_, _, set)| !set.contains("k000001"))
    );
}

#[test]
fn hostile_nesting_is_walked() {
    let mut deep = json!({"x": 1});
    for _ in 0..500 {
        deep = json!({"x": deep});
    }
    let schema = schema("apps", "ControllerRevision");
    let mut object = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "a"},
        "revision": 1, "data": deep});
    track(&tracking(schema, "apps/v1", "m"), None, &mut object);
    assert_eq!(sets(&object).len(), 1);
}
