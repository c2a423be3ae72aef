//! The life of a definition, step by step, through the server's outer interface.

use bytes::Bytes;

use super::Chore;
use crate::ids::SeededIds;
use crate::json;
use crate::json::Value;
use crate::server::{ApiServer, Config, Cx, ServerId};
use crate::time::Timestamp;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

struct World {
    server: ApiServer,
    ids: SeededIds,
    now: Timestamp,
}

impl World {
    fn new() -> World {
        let config = Config {
            caches_follow: true,
            ..Config::default()
        };
        World {
            server: ApiServer::new(&config),
            ids: SeededIds::new(1),
            now: config.began,
        }
    }

    fn call(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = if body.is_null() {
            Bytes::new()
        } else {
            json::to_vec(&body).into()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content);
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        let response = self
            .server
            .handle(&mut cx, ServerId(0), request.body(body).unwrap());
        let value = json::parse(response.body()).unwrap_or_default();
        (response.status().as_u16(), value)
    }

    // Does one chore of the definitions' controllers; false if there is none.
    fn step(&mut self) -> bool {
        let chores = self.server.chores(self.now);
        let Some(chore) = chores
            .iter()
            .find(|chore| matches!(chore, Chore::Definition { .. }))
        else {
            return false;
        };
        let mut cx = Cx {
            now: self.now,
            ids: &mut self.ids,
        };
        self.server.perform(&mut cx, chore);
        true
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    fn conditions(&mut self, name: &str) -> Vec<String> {
        let (_, value) = self.call("GET", &format!("{CRDS}/{name}"), Value::Null);
        let conditions = value.array_at(&["status", "conditions"]).iter();
        let text = |condition: &Value| {
            let part = |name: &str| condition.str_at(&[name]).to_owned();
            format!("{}={}/{}", part("type"), part("status"), part("reason"))
        };
        conditions.map(text).collect()
    }
}

fn definition(plural: &str, kind: &str) -> Value {
    json!({
        "metadata": {"name": (format!("{plural}.example.com"))},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {"type": "object", "properties": {
                    "n": {"type": "integer", "minimum": 1}, "d": {"type": "string", "default": "x"}
                }}}
            }}}]
        }
    })
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[test]
fn l1_names_are_accepted_then_the_resource_is_served() {
    let mut world = World::new();
    let (code, _) = world.call("POST", CRDS, definition("widgets", "Widget"));
    assert_eq!(code, 201);
    assert_eq!(world.call("GET", WIDGETS, Value::Null).0, 404);
    assert!(world.step());
    let want = [
        "NamesAccepted=True/NoConflicts",
        "Established=False/Installing",
    ];
    assert_eq!(world.conditions("widgets.example.com"), want);
    assert_eq!(world.call("GET", WIDGETS, Value::Null).0, 404);
    assert!(world.step());
    assert_eq!(
        world.conditions("widgets.example.com")[1],
        "Established=True/InitialNamesAccepted"
    );
    assert_eq!(world.call("GET", WIDGETS, Value::Null).0, 200);
    assert!(!world.step());
}

#[test]
fn l1_a_taken_kind_waits_until_the_other_definition_is_gone() {
    let mut world = World::new();
    world.call("POST", CRDS, definition("widgets", "Widget"));
    world.settle();
    world.call("POST", CRDS, definition("gadgets", "Widget"));
    world.settle();
    let want = [
        "NamesAccepted=False/ListKindConflict",
        "Established=False/NotAccepted",
    ];
    assert_eq!(world.conditions("gadgets.example.com"), want);
    world.call(
        "DELETE",
        &format!("{CRDS}/widgets.example.com"),
        Value::Null,
    );
    world.settle();
    assert_eq!(
        world.conditions("gadgets.example.com")[1],
        "Established=True/InitialNamesAccepted"
    );
}

#[test]
fn l4_l6_objects_are_pruned_defaulted_and_validated() {
    let mut world = World::new();
    world.call("POST", CRDS, definition("widgets", "Widget"));
    world.settle();
    let (code, value) = world.call("POST", WIDGETS, widget("a", json!({"n": 2.0, "zz": 1})));
    assert_eq!((code, &value["spec"]), (201, &json!({"d": "x", "n": 2})));
    let (code, value) = world.call("POST", WIDGETS, widget("b", json!({"n": 0})));
    assert_eq!(code, 422);
    let causes = value.array_at(&["details", "causes"]);
    assert_eq!(
        causes[0].str_at(&["message"]),
        "Invalid value: 0: spec.n in body should be greater than or equal to 1"
    );
}

#[test]
fn l10_deletion_waits_for_the_finalizers_of_the_objects() {
    let mut world = World::new();
    world.call("POST", CRDS, definition("widgets", "Widget"));
    world.settle();
    world.call("POST", WIDGETS, widget("a", json!({})));
    let mut held = widget("b", json!({}));
    held.set(&["metadata", "finalizers"], json!(["example.com/held"]));
    world.call("POST", WIDGETS, held);
    let path = format!("{CRDS}/widgets.example.com");
    let (code, value) = world.call("DELETE", &path, Value::Null);
    assert_eq!(code, 200);
    assert_eq!(
        value["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    assert_eq!(
        world.conditions("widgets.example.com")[2],
        "Terminating=True/InstanceDeletionPending"
    );
    world.settle();
    assert_eq!(
        world.conditions("widgets.example.com")[2],
        "Terminating=True/InstanceDeletionInProgress"
    );
    let (_, list) = world.call("GET", WIDGETS, Value::Null);
    assert_eq!(list.array_at(&["items"]).len(), 1);
    let (code, refused) = world.call("POST", WIDGETS, widget("c", json!({})));
    assert_eq!((code, refused.str_at(&["reason"])), (403, "Forbidden"));
    world.call(
        "PATCH",
        &format!("{WIDGETS}/b"),
        json!({"metadata": {"finalizers": null}}),
    );
    world.settle();
    assert_eq!(world.call("GET", &path, Value::Null).0, 404);
    assert_eq!(world.call("GET", WIDGETS, Value::Null).0, 404);
}

#[test]
fn l9_versions_without_a_webhook_change_the_version_only() {
    let mut world = World::new();
    let mut two = definition("widgets", "Widget");
    let second = json!({"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    }}});
    if let Some(versions) = two["spec"]["versions"].as_array_mut() {
        versions.push(second);
    }
    world.call("POST", CRDS, two);
    world.settle();
    world.call("POST", WIDGETS, widget("a", json!({"n": 1})));
    let (code, value) = world.call(
        "GET",
        "/apis/example.com/v2/namespaces/default/widgets/a",
        Value::Null,
    );
    assert_eq!(
        (code, value.str_at(&["apiVersion"])),
        (200, "example.com/v2")
    );
    assert_eq!(value["spec"], json!({"n": 1}));
}
