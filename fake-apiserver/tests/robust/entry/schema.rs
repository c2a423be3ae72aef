//! Structural schemas, definitions of custom resources, and objects under them.

use fake_apiserver::json::{self, Value};
use fake_apiserver::schema as schemas;

use super::cluster::Cluster;
use super::{assert_round_trip, sections};

/// An object under a schema. Sections: `openAPIV3Schema`, an object, an older object.
///
/// Pruning and defaulting twice are as good as once; a definition with this schema is accepted or refused, and objects of an
/// accepted one read back as they were created.
pub(crate) fn schema(bytes: &[u8]) {
    let parts = sections(bytes);
    let part = |at: usize| parts.get(at).and_then(|part| json::parse(part).ok());
    let Some(schema) = part(0) else {
        return;
    };
    let object = part(1).unwrap_or_else(Value::object);
    let old = part(2);
    let built = schemas::build(&schema);
    if let Ok(decoded) = schemas::decode_custom(&built, object.clone()) {
        let mut value = decoded.value;
        schemas::default(&built, &mut value);
        let once = value.clone();
        schemas::default(&built, &mut value);
        assert_eq!(once, value, "defaults are filled in once");
        schemas::prune(&built, &mut value);
        let pruned = value.clone();
        schemas::prune(&built, &mut value);
        assert_eq!(pruned, value, "what is pruned has nothing left to prune");
        schemas::validate(&built, &value, old.as_ref());
        schemas::validate_lists(&built, &value, old.as_ref());
        schemas::validate_embedded(&built, &value);
        assert_round_trip(&value);
    }
    served(schema, object);
}

fn served(schema: Value, mut object: Value) {
    let mut cluster = Cluster::new();
    let crd = r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gadgets.example.org"},
        "spec":{"group":"example.org","scope":"Cluster","names":{"plural":"gadgets","kind":"Gadget"},"versions":[]}}"#;
    let mut crd = json::parse(crd.as_bytes()).expect("JSON");
    let mut version = json::parse(br#"{"name":"v1","served":true,"storage":true}"#).expect("JSON");
    version.set(&["schema", "openAPIV3Schema"], schema);
    crd.set(&["spec", "versions"], vec![version]);
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let answer = cluster.json("POST", definitions, &json::to_vec(&crd));
    if answer.status() != 201 {
        return;
    }
    cluster.settle();
    object.set(&["apiVersion"], "example.org/v1");
    object.set(&["kind"], "Gadget");
    object.set(
        &["metadata"],
        json::parse(br#"{"name":"one"}"#).expect("JSON"),
    );
    let gadgets = "/apis/example.org/v1/gadgets";
    let created = cluster.json("POST", gadgets, &json::to_vec(&object));
    if created.status() != 201 {
        return;
    }
    cluster.settle();
    let read = cluster.json("GET", &format!("{gadgets}/one"), b"");
    assert_eq!(
        created.body(),
        read.body(),
        "an object reads back as it was created"
    );
    let written = cluster.json("PUT", &format!("{gadgets}/one"), read.body());
    if written.status() == 200 {
        let value = json::parse(written.body()).expect("JSON");
        let before = json::parse(read.body()).expect("JSON");
        assert_eq!(
            value["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "writing what was read is no change"
        );
    }
    cluster.json("DELETE", &format!("{definitions}/gadgets.example.org"), b"");
    cluster.settle();
}
