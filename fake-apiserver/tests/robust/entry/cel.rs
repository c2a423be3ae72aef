//! Expressions, alone and as rules of a schema.

use fake_apiserver::cel::cost::estimate;
use fake_apiserver::cel::{Decl, Environment, Failure, Type, Val, check, evaluate, rules, schema};
use fake_apiserver::json::{self, Value};

use super::sections;

const LIMIT: u64 = 1_000_000;

/// Checks and runs an expression. Sections: the expression over `self` and `oldSelf`, the value of `self`, its schema.
///
/// The same value comes twice at the same cost, and no run costs more than its limit but for its last step.
pub(crate) fn cel(bytes: &[u8]) {
    let parts = sections(bytes);
    let text = String::from_utf8_lossy(parts[0]).into_owned();
    let part = |at: usize| parts.get(at).and_then(|part| json::parse(part).ok());
    let value = part(1).unwrap_or(Value::Null);
    let decl = part(2).and_then(|found| schema::declare(&found, false, "self"));
    run(
        &text,
        &value,
        &Environment::with(vec![
            ("self", Decl::of(Type::Dyn)),
            ("oldSelf", Decl::of(Type::Dyn)),
        ]),
    );
    if let Some(decl) = decl {
        run(
            &text,
            &value,
            &Environment::with(vec![("self", decl.clone()), ("oldSelf", decl)]),
        );
    }
    let mut ruled = part(2).unwrap_or_else(Value::object);
    if ruled.is_object() {
        let mut rule = Value::object();
        rule.set(&["rule"], text);
        ruled.set(&["x-kubernetes-validations"], vec![rule]);
        rules::problems(&ruled, "openAPIV3Schema");
        let compiled = rules::compile(&ruled, false);
        drop(compiled);
    }
}

fn run(text: &str, value: &Value, env: &Environment) {
    let checked = match check(text, env) {
        Ok(checked) => checked,
        Err(issues) => {
            assert!(!issues.is_empty(), "a refusal says why");
            fake_apiserver::cel::parse::render(text, &issues);
            return;
        }
    };
    estimate(&checked, env);
    let bindings: Vec<(&str, Val<'_>)> = vec![
        ("self", Val::of(value, None)),
        ("oldSelf", Val::of(value, None)),
    ];
    let first = evaluate(&checked, &bindings, LIMIT);
    let again = evaluate(&checked, &bindings, LIMIT);
    assert_eq!(first.cost, again.cost, "{text}");
    if first.cost > LIMIT {
        assert_eq!(first.value.err(), Some(Failure::Budget), "{text}");
        return;
    }
    match (first.value, again.value) {
        (Ok(first), Ok(again)) => assert_eq!(
            first.to_json().map(|value| json::to_string(&value)),
            again.to_json().map(|value| json::to_string(&value)),
            "{text}"
        ),
        (Err(first), Err(again)) => assert_eq!(first, again),
        _ => panic!("an expression has a value or not: {text}"),
    }
}
