//! Hostile schemas, patterns and objects: no panic, no time beyond what their size explains.

use proptest::prelude::*;

use super::{Schemas, validate, validate_embedded, validate_lists};
use super::{build, coerce_nulls, crd, decode, decode_custom, default, format, go, regexp};
use crate::json;
use crate::json::{Map, Value};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        Just(Value::UInt(u64::MAX)),
        prop_oneof![Just(1.0), Just(1.5), Just(-1e300), Just(5e-324)].prop_map(Value::Float),
        prop_oneof![
            Just("object"),
            Just("array"),
            Just("string"),
            Just("integer"),
            Just("set"),
            Just("map"),
            Just("atomic"),
            Just("date-time"),
            Just("é{(["),
            Just(""),
            Just("a")
        ]
        .prop_map(Value::from),
    ]
}

// Objects whose keys are a schema's keywords and fields of Kubernetes objects.
fn tree() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "additionalProperties",
        "default",
        "enum",
        "required",
        "format",
        "pattern",
        "nullable",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxItems",
        "maxProperties",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "metadata",
        "spec",
        "status",
        "a",
        "k",
        "apiVersion",
        "kind",
        "name",
        "containers",
        "$ref",
        "definitions",
    ]);
    scalar().prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                let mut map = Map::new();
                for (key, value) in fields {
                    map.insert(key, value);
                }
                Value::Object(map)
            }),
        ]
    })
}

fn fixed() -> ProptestConfig {
    ProptestConfig {
        cases: 64,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in "[a-c(){}\\[\\]\\\\^$.|?*+,:<>PQEdpx0-9é-]{0,24}") {
        if let Ok(program) = regexp::compile(&text) {
            program.is_match("abc()[]{}é0");
        }
    }

    #[test]
    fn any_text_has_a_format_or_not(text in "\\PC{0,24}") {
        let formats = [
            "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "isbn", "creditcard", "ssn", "hexcolor", "rgbcolor",
            "byte", "date", "duration", "date-time",
        ];
        for name in formats {
            format::fits(name, &text);
        }
        let _ = go::parse_time(&text, false);
        let _ = go::parse_time(&text, true);
    }

    #[test]
    fn any_object_under_any_schema(schema in tree(), new in tree(), old in tree()) {
        let schema = build(&schema);
        if let Ok(decoded) = decode_custom(&schema, new) {
            let mut value = decoded.value;
            default(&schema, &mut value);
            coerce_nulls(&schema, &mut value);
            validate(&schema, &value, Some(&old));
            validate(&schema, &value, None);
            validate_lists(&schema, &value, Some(&old));
            validate_embedded(&schema, &value);
        }
    }

    #[test]
    fn any_definition(schema in tree(), version in tree()) {
        let mut definition = json!({"metadata": {"name": "a.b.c"}, "spec": {
            "group": "b.c", "names": {"plural": "a"}, "versions": [
                {"name": "v1", "storage": true, "schema": {"openAPIV3Schema": schema}},
                version
            ]
        }});
        crd::default(&mut definition);
        crd::validate(&definition, None);
        crd::validate(&definition, Some(&definition.clone()));
        crd::unrecognized_formats(&definition, None);
        let kind = Schemas::builtin().kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        if let Some(kind) = kind {
            let _ = decode(kind, definition);
        }
    }

    #[test]
    fn any_pod(spec in tree()) {
        if let Some(pod) = Schemas::builtin().kind("", "v1", "Pod") {
            let _ = decode(pod, json!({"spec": spec}));
        }
    }
}

#[test]
fn long_patterns_take_linear_time() {
    for part in [
        "{",
        "[[:",
        "(?P<a>",
        "a{1,",
        "\\Q",
        "[a-",
        "((a{1000}){1000}){1000}",
    ] {
        let _ = regexp::compile(&part.repeat(100_000));
    }
}

#[test]
fn a_hundred_thousand_wrong_elements_are_told_in_short_order() {
    let schema = build(&json!({"type": "object", "properties": {"l": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "minimum": 5}}}
    }}}));
    let list: Vec<Value> = (0..100_000)
        .map(|i| json!({"k": (format!("k{}", i % 50_000)), "v": 1}))
        .collect();
    let value = json!({"l": (Value::Array(list))});
    let causes = validate(&schema, &value, None);
    assert_eq!(causes.len(), 10_000);
    assert!(!crate::status::aggregate(&causes).is_empty());
    assert_eq!(validate_lists(&schema, &value, None).len(), 50_000);
}

#[test]
fn the_deepest_documents_fit_the_stack() {
    // The stack that a thread has by default, whatever RUST_MIN_STACK says.
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(deepest_documents);
    let ended = thread.unwrap().join();
    assert!(ended.is_ok(), "what it says is above");
}

fn deepest_documents() {
    let nest = |open: &str, close: &str, levels: usize| {
        let text = format!("{}{{}}{}", open.repeat(levels), close.repeat(levels));
        json::parse(text.as_bytes()).unwrap()
    };
    let deep = nest(
        "{\"type\":\"object\",\"properties\":{\"a\":",
        "}}",
        json::DEPTH_MAX / 2 - 2,
    );
    let schema = build(&deep);
    let mut value = nest("{\"a\":", "}", json::DEPTH_MAX - 2);
    default(&schema, &mut value);
    validate(&schema, &value, Some(&value));
    let version = json!({"name": "v1", "storage": true, "schema": {"openAPIV3Schema": deep}});
    crd::validate(&json!({"spec": {"versions": [version]}}), None);
    let branches = nest("{\"anyOf\":[", "]}", json::DEPTH_MAX / 2 - 2);
    validate(&build(&branches), &value, None);
}
