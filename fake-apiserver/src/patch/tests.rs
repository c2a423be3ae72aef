//! Patches by rule number, on values; the recordings judge the whole path.

use super::*;
use crate::json;
use crate::schema::Schemas;

fn pod() -> &'static Schema {
    Schemas::builtin().kind("", "v1", "Pod").expect("a kind")
}

fn run(patch_type: PatchType, live: Value, body: &str) -> Result<Value, String> {
    patch(patch_type, &live, body.as_bytes(), pod())
        .map(|patched| patched.value)
        .map_err(|status| format!("{} {}", status.code, status.message))
}

fn strategic(live: Value, body: Value) -> Value {
    run(PatchType::Strategic, live, &body.to_string()).expect("a patch that applies")
}

fn finalizers(list: Value) -> Value {
    json!({"metadata": {"finalizers": list}})
}

#[test]
fn e2a_quirks_of_json_patch() {
    let check = |body: &str, want: Option<Value>| {
        let live = json!({"data": {"k": "v"}, "list": [1, 2], "n": 2});
        assert_eq!(run(PatchType::Json, live, body).ok(), want, "{body}");
    };
    let with = |data: Value, list: Value| Some(json!({"data": data, "list": list, "n": 2}));
    check(
        r#"[{"op":"replace","path":"/data/x","value":"y"}]"#,
        with(json!({"k": "v", "x": "y"}), json!([1, 2])),
    );
    check(r#"[{"op":"remove","path":"/data/x"}]"#, None);
    check(
        r#"[{"op":"test","path":"/data/x","value":null}]"#,
        with(json!({"k": "v"}), json!([1, 2])),
    );
    check(r#"[{"op":"test","path":"/data/k"}]"#, None);
    check(r#"[{"op":"test","path":"/n","value":2.0}]"#, None);
    check(
        r#"[{"op":"copy","from":"/data/x","path":"/data/y"}]"#,
        with(json!({"k": "v", "y": null}), json!([1, 2])),
    );
    check(r#"[{"op":"move","from":"/data/x","path":"/data/y"}]"#, None);
    check(
        r#"[{"op":"add","path":"/list/-1","value":3},{"op":"remove","path":"/list/-3"}]"#,
        with(json!({"k": "v"}), json!([2, 3])),
    );
    check(r#"[{"op":"add","path":"/list/3","value":3}]"#, None);
    check(r#"[{"op":"add","path":"","value":{}}]"#, None);
    check("null", with(json!({"k": "v"}), json!([1, 2])));
}

#[test]
fn e2_bodies_that_are_no_json_patch() {
    let error = |body: &str| run(PatchType::Json, json!({}), body).expect_err("an error");
    assert_eq!(
        error("{}"),
        "400 error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
    );
    assert_eq!(
        error(r#"[{"op":"replace","path":5}]"#),
        "400 error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string"
    );
    let many = format!(
        "[{}]",
        vec![r#"{"op":"add","path":"/x","value":1}"#; 10_001].join(",")
    );
    assert_eq!(
        error(&many),
        "413 Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
}

#[test]
fn e3_nulls_of_a_merge_patch() {
    let merged = run(
        PatchType::Merge,
        json!({"a": 1, "l": [1]}),
        r#"{"a":null,"l":[1,null,{"s":null}],"n":{"b":{"c":null}}}"#,
    );
    assert_eq!(merged, Ok(json!({"l": [1, null, {}], "n": {"b": {}}})));
    assert_eq!(
        run(PatchType::Merge, json!({}), "null"),
        Err("400 Invalid JSON Patch".to_owned())
    );
}

#[test]
fn e4_lists_of_scalars_merge_in_place() {
    let live = || finalizers(json!(["c", "a", "b"]));
    assert_eq!(strategic(live(), finalizers(json!(["a"]))), live());
    assert_eq!(
        strategic(live(), finalizers(json!(["x", "a"]))),
        finalizers(json!(["x", "c", "a", "b"]))
    );
    let ordered = json!({"metadata": {"$setElementOrder/finalizers": ["d", "c"], "finalizers": ["d"],
        "$deleteFromPrimitiveList/finalizers": ["b"]}});
    assert_eq!(
        strategic(finalizers(json!(["c", "b"])), ordered),
        finalizers(json!(["d", "c"]))
    );
}

#[test]
fn e4_elements_merge_by_key() {
    let containers = |list: Value| json!({"spec": {"containers": list}});
    let live = || containers(json!([{"name": "a", "image": "1"}, {"name": "b"}]));
    assert_eq!(
        strategic(
            live(),
            containers(json!([{"name": "x"}, {"name": "b", "image": "2"}]))
        ),
        containers(
            json!([{"name": "x"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}])
        )
    );
    assert_eq!(
        strategic(
            live(),
            containers(json!([{"name": "a", "$patch": "delete"}]))
        ),
        containers(json!([{"name": "b"}]))
    );
    assert_eq!(
        strategic(
            live(),
            containers(json!([{"name": "z"}, {"$patch": "replace"}]))
        ),
        containers(json!([{"name": "z"}]))
    );
    assert_eq!(
        run(
            PatchType::Strategic,
            live(),
            r#"{"spec":{"containers":[{"image":"nokey"}]}}"#
        ),
        Err("500 map: map[image:nokey] does not contain declared merge key: name".to_owned())
    );
}

#[test]
fn e4_directives_of_maps() {
    let labels = |map: Value| json!({"metadata": {"labels": map}});
    let live = || labels(json!({"a": "1", "b": "2"}));
    let check = |patch: Value, want: Value| {
        assert_eq!(strategic(live(), labels(patch)), labels(want));
    };
    check(json!({"$patch": "replace", "c": "3"}), json!({"c": "3"}));
    check(json!({"$patch": "delete", "c": "3"}), json!({}));
    check(
        json!({"$retainKeys": ["b", "c"], "c": "3"}),
        json!({"b": "2", "c": "3"}),
    );
    assert_eq!(
        strategic(json!({}), json!({"data": {"$patch": "explode", "a": "b"}})),
        json!({})
    );
}

#[test]
fn e4_long_lists_take_no_quadratic_time() {
    let items = |from: usize| -> Value {
        (from..from + 20_000)
            .map(|n| json!({"name": format!("c{n}")}))
            .collect()
    };
    let containers = |list: Value| json!({"spec": {"containers": list}});
    let merged = strategic(containers(items(0)), containers(items(10_000)));
    assert_eq!(
        merged["spec"]["containers"].as_array().map(Vec::len),
        Some(30_000)
    );
}

#[test]
fn hostile_merge_patches_take_no_quadratic_time() {
    let many = |odd: usize, value: &str| -> String {
        let fields: Vec<String> = (0..20_000)
            .map(|n| format!("\"k{:06}\":{value}", 2 * n + odd))
            .collect();
        format!("{{{}}}", fields.join(","))
    };
    let live = json::parse(many(0, "1").as_bytes()).expect("JSON");
    let grown = run(PatchType::Merge, live, &many(1, "2")).expect("a merge");
    let shrunk = run(PatchType::Merge, grown, &many(0, "null")).expect("a merge");
    assert_eq!(shrunk.as_object().map(json::Map::len), Some(20_000));
}
