//! Every built-in kind, its fields filled with what nobody would send in good faith: there is an answer, whatever it says.
//!
//! Types are as the schema has them, so that most bodies get past decoding and as far as defaults, validation, storage and
//! Tables. What is drawn depends on the kind alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fake_apiserver::ids::{Ids, SeededIds};
use fake_apiserver::json::{self, Map, Value};
use fake_apiserver::registry::{Registry, Resource};
use fake_apiserver::schema::{Schema, Schemas, Special, Type};

use crate::growth::{APPLY, JSON, MERGE, Plain, STRATEGIC};
use crate::kinds::collection;
use crate::smoke::asked_runs;

/// Objects of each kind; more where a longer run is asked for as in `smoke`, whose turns are shorter by far.
const OBJECTS_MIN: u64 = 12;
/// Nothing deeper is filled in.
const DEPTH_MAX: usize = 11;

const TEXTS: [&str; 40] = [
    "",
    "a",
    "a",
    "a",
    "b",
    "é",
    "\u{301}",
    "-",
    ".",
    "/",
    "//",
    "a/",
    "/a",
    "a/b",
    "*",
    "*/*",
    "*.",
    "..",
    ":",
    "[",
    "[]",
    "a:b",
    "0",
    "-1",
    "+1",
    "1.2.3.4",
    "::1",
    "10.0.0.0/8",
    "::/0",
    "0.0.0.0/0",
    "1.2.3.4/33",
    "100%",
    "%",
    "$(A)",
    "Always",
    "iqn.2020-01.a",
    "iqn.202é-01",
    "\\",
    "kubernetes.io/a",
    "9223372036854775808",
];
const QUANTITIES: [&str; 16] = [
    "0",
    "1",
    "1",
    "100m",
    "1n",
    "0.1",
    "-1",
    "-8Ei",
    "9Ei",
    "1e1000",
    "-1e1000",
    "1e-1000",
    "99999999999999999999999999999999",
    "1Gi",
    "1.5Gi",
    "12e6",
];
const NUMBERS: [i64; 12] = [
    0,
    1,
    1,
    2,
    -1,
    80,
    443,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

struct Dice(SeededIds);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0.number(bound as u64) as usize
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn value(&mut self, schema: &Schema, depth: usize) -> Value {
        match (schema.kind(), schema.special()) {
            (_, Special::Quantity) => self.of(&QUANTITIES).into(),
            (_, Special::IntOrString) if self.below(2) == 0 => self.of(&NUMBERS).into(),
            (_, Special::IntOrString) => self.of(&TEXTS).into(),
            (_, Special::Time) => "2026-01-01T00:00:00Z".into(),
            (_, Special::MicroTime) => "2026-01-01T00:00:00.000000Z".into(),
            (_, Special::Bytes) => self.of(&["", "YQ==", "/////w=="]).into(),
            (_, special) if special != Special::None => Value::object(),
            (Type::String, _) => self.of(&TEXTS).into(),
            (Type::Integer | Type::Number, _) => self.of(&NUMBERS).into(),
            (Type::Boolean, _) => Value::Bool(self.below(2) == 0),
            (Type::Array, _) if depth < DEPTH_MAX => {
                let items = (0..self.below(4)).map(|_| match schema.items() {
                    Some(items) => self.value(items, depth + 1),
                    None => Value::Null,
                });
                Value::Array(items.collect())
            }
            (Type::Object, _) if depth < DEPTH_MAX => self.object(schema, depth),
            (Type::Array, _) => Value::Array(Vec::new()),
            _ => Value::object(),
        }
    }

    fn object(&mut self, schema: &Schema, depth: usize) -> Value {
        if let Some(values) = schema.values() {
            let pairs = (0..self.below(3)).map(|_| {
                let key = self.of(&TEXTS);
                (key, self.value(values, depth + 1))
            });
            return Value::Object(pairs.collect::<Map>());
        }
        let mut map = Map::new();
        // Now and then nearly all of it is there, mostly a third.
        let odds = self.of(&[2, 3, 3, 9]);
        for field in schema.fields() {
            let drawn = match odds {
                9 => self.below(9) > 0,
                odds => self.below(odds) == 0,
            };
            if drawn {
                map.insert(field.name(), self.value(field.schema(), depth + 1));
            }
        }
        Value::Object(map)
    }
}

#[test]
fn every_kind_is_answered_whatever_its_fields_hold() {
    let registry = Registry::new();
    let mut stored = 0;
    for (seed, row) in registry.rows().enumerate() {
        let Some(schema) = row.schema().filter(|_| row.verbs.has("create")) else {
            continue;
        };
        let mut dice = Dice(SeededIds::new(seed as u64));
        let mut plain = Plain::new();
        for turn in 0..objects() {
            stored += usize::from(turn_of(&mut plain, &mut dice, row, schema, turn));
        }
    }
    assert!(stored > 50, "only {stored} objects were taken");
}

#[test]
fn subresources_are_answered_whatever_is_sent() {
    const CORE: &str = "/api/v1/namespaces/default";
    const APPS: &str = "/apis/apps/v1/namespaces/default/deployments";
    let pod = r#"{"metadata":{"name":"a","labels":{"l":"v"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    let spec = r#"{"selector":{"matchLabels":{"l":"v"}},"template":{"metadata":{"labels":{"l":"v"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#;
    let deployment = format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#);
    let schemas = Schemas::builtin();
    let mut dice = Dice(SeededIds::new(1));
    for (group, version, kind, method, target) in [
        (
            "",
            "v1",
            "Binding",
            "POST",
            format!("{CORE}/pods/a/binding"),
        ),
        (
            "policy",
            "v1",
            "Eviction",
            "POST",
            format!("{CORE}/pods/a/eviction"),
        ),
        ("", "v1", "Pod", "PUT", format!("{CORE}/pods/a/resize")),
        (
            "",
            "v1",
            "Pod",
            "PUT",
            format!("{CORE}/pods/a/ephemeralcontainers"),
        ),
        (
            "autoscaling",
            "v1",
            "Scale",
            "PUT",
            format!("{APPS}/a/scale"),
        ),
        (
            "authentication.k8s.io",
            "v1",
            "TokenRequest",
            "POST",
            format!("{CORE}/serviceaccounts/a/token"),
        ),
        (
            "",
            "v1",
            "Namespace",
            "PUT",
            "/api/v1/namespaces/default/finalize".to_owned(),
        ),
    ] {
        let schema = schemas.kind(group, version, kind).expect("a built-in kind");
        let mut plain = Plain::new();
        for _ in 0..objects() {
            plain.send("POST", &format!("{CORE}/pods"), JSON, pod);
            plain.send("POST", APPS, JSON, deployment.clone());
            let account = r#"{"metadata":{"name":"a"}}"#;
            plain.send("POST", &format!("{CORE}/serviceaccounts"), JSON, account);
            let mut object = dice.value(schema, 0);
            let name = if kind == "Namespace" { "default" } else { "a" };
            object.set(&["metadata"], Value::object());
            object.set(&["metadata", "name"], name);
            let body = json::to_vec(&object);
            let text = String::from_utf8_lossy(&body).into_owned();
            let answer = catch_unwind(AssertUnwindSafe(|| plain.send(method, &target, JSON, body)));
            let answer = answer.unwrap_or_else(|_| panic!("{method} {target}: {text}"));
            json::parse(answer.body()).expect("an answer is JSON");
        }
    }
}

#[test]
fn o13_bounds_and_quotas_of_extreme_amounts() {
    const CORE: &str = "/api/v1/namespaces/default";
    let mut taken = 0;
    for one in QUANTITIES {
        let mut plain = Plain::new();
        let range = format!(
            r#"{{"metadata":{{"name":"r"}},"spec":{{"limits":[{{"type":"Container","max":{{"memory":"{one}"}},"maxLimitRequestRatio":{{"cpu":"{one}"}}}},{{"type":"Pod","min":{{"cpu":"{one}"}}}}]}}}}"#
        );
        plain.send("POST", &format!("{CORE}/limitranges"), JSON, range);
        plain.send(
            "POST",
            &format!("{CORE}/resourcequotas"),
            JSON,
            r#"{"metadata":{"name":"q"},"spec":{"hard":{"cpu":"1"}}}"#,
        );
        let status = format!(
            r#"{{"status":{{"hard":{{"cpu":"1e9","memory":"1e30"}},"used":{{"cpu":"{one}","memory":"{one}"}}}}}}"#
        );
        plain.send(
            "PATCH",
            &format!("{CORE}/resourcequotas/q/status"),
            MERGE,
            status,
        );
        for (i, other) in QUANTITIES.into_iter().enumerate() {
            let container = |name: &str, request: &str, limit: &str| {
                format!(
                    r#"{{"name":"{name}","image":"i","resources":{{"requests":{{"cpu":"{request}","memory":"{limit}"}},"limits":{{"cpu":"{limit}","memory":"{limit}"}}}}}}"#
                )
            };
            let (a, b) = (container("a", other, one), container("b", one, other));
            let whole = match i % 2 {
                0 => String::new(),
                _ => format!(r#""resources":{{"limits":{{"cpu":"{other}"}}}},"#),
            };
            let pod = format!(
                r#"{{"metadata":{{"name":"p{i}"}},"spec":{{{whole}"containers":[{a},{b}]}}}}"#
            );
            for dry in ["", "?dryRun=All"] {
                let target = format!("{CORE}/pods{dry}");
                taken +=
                    usize::from(plain.send("POST", &target, JSON, pod.clone()).status() == 201);
            }
        }
    }
    assert!(taken > 0, "some amounts are fine");
}

fn objects() -> u64 {
    OBJECTS_MIN.max(asked_runs().unwrap_or(0) / 100)
}

/// Creates, changes, shows and deletes an object; whether it was created.
fn turn_of(plain: &mut Plain, dice: &mut Dice, row: &Resource, schema: &Schema, turn: u64) -> bool {
    let target = collection(row);
    let name = match row.kind.as_str() {
        "IPAddress" => format!("10.0.0.{}", turn % 250),
        _ => format!("a{turn}"),
    };
    let mut body = |named: bool| {
        let mut object = dice.value(schema, 0);
        if named || !object["metadata"].is_object() {
            object.set(&["metadata"], Value::object());
        }
        object.set(&["metadata", "name"], name.as_str());
        object.set(&["apiVersion"], row.api_version());
        object.set(&["kind"], &row.kind);
        json::to_vec(&object)
    };
    let named = format!("{target}/{name}");
    let mut created = false;
    let mut sent = vec![("POST", target.clone(), JSON, body(!turn.is_multiple_of(3)))];
    for (method, target, kind) in [
        ("PUT", named.clone(), JSON),
        ("PATCH", format!("{named}?fieldManager=m&force=1"), APPLY),
        ("PUT", format!("{named}/status"), JSON),
        ("PATCH", format!("{named}/status"), MERGE),
        ("PATCH", named.clone(), STRATEGIC),
    ] {
        sent.push((method, target, kind, body(true)));
    }
    for (method, target, kind, body) in sent {
        let text = String::from_utf8_lossy(&body).into_owned();
        let answer = catch_unwind(AssertUnwindSafe(|| plain.send(method, &target, kind, body)));
        let answer = answer.unwrap_or_else(|_| panic!("{method} {target}: {text}"));
        created |= answer.status() == 201;
        if !created {
            return false;
        }
        json::parse(answer.body()).expect("an answer is JSON");
    }
    let shown = catch_unwind(AssertUnwindSafe(|| plain.table(&named)));
    shown.unwrap_or_else(|_| panic!("{named} as a Table"));
    plain.send("DELETE", &named, JSON, "");
    plain.settle();
    true
}
