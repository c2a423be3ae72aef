//! What expressions mean, and that hostile ones end.

use super::{Bindings, Decl, Environment, Failure, Type, Val, check, evaluate};
use crate::json;
use crate::json::Value;

const LIMIT: u64 = 1_000_000;

fn run(text: &str, input: &Value) -> Result<Value, String> {
    let env = Environment::with(vec![("x", Decl::of(Type::Dyn))]);
    let checked = check(text, &env).map_err(|issues| issues[0].message.clone())?;
    let bindings: Vec<(&str, Val<'_>)> = vec![("x", Val::of(input, None))];
    let outcome = evaluate(&checked, &bindings, LIMIT);
    match outcome.value {
        Ok(value) => value.to_json().ok_or_else(|| "no JSON".to_owned()),
        Err(Failure::Message(text)) => Err(text),
        Err(Failure::Budget) => Err("budget".to_owned()),
    }
}

fn holds(text: &str) {
    assert_eq!(
        run(text, &json!({"a": 1, "l": [1, 2]})),
        Ok(Value::Bool(true)),
        "{text}"
    );
}

#[test]
fn l8_values_and_operators() {
    for text in [
        "1 + 2 * 3 == 7 && -x.a == -1 && 7 % 4 == 3",
        "x.a == 1.0 && 1u == 1u && 2 > 1.5",
        "x.l == [1, 2] && 1 in x.l && !(3 in x.l)",
        "{'a': 1}.a == 1 && 'a' in {'a': 1} && {'a': 1} == {'a': 1}",
        "has(x.a) && !has(x.b) && x.?b.orValue(5) == 5 && x[?'a'].hasValue()",
        "(x.b == 1) || true",
        "!((x.b == 1) && false)",
        "'äbc'.size() == 3 && 'äbc'.substring(1) == 'bc' && 'äbc'.indexOf('c') == 2",
        "timestamp('2024-05-01T10:20:30Z').getHours() == 10",
        "timestamp('2024-05-01T00:00:00Z') + duration('1h') == timestamp('2024-05-01T01:00:00Z')",
        "type(1) == int && type('a') == string && type([]) == list",
        "string(1.5) == '1.5' && int('7') == 7 && double(2) == 2.0 && string(duration('90s')) == '90s'",
        "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
        "x.l.map(i, i * 2) == [2, 4] && x.l.filter(i, i > 1) == [2]",
        "{'a': 1, 'b': 2}.exists(k, v, k == 'b' && v == 2)",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP(ip('10.2.3.4')) && !isIP('x')",
        "isURL('https://a.b/c') && url('https://a.b:8/c?d=e').getQuery() == {'d': ['e']}",
        "semver('1.2.3') == semver('1.2.3') && semver('1.10.0').isGreaterThan(semver('1.9.0'))",
        "sets.contains([1, 2, 3], [3]) && !sets.intersects([1], [2])",
        "lists.range(3) == [0, 1, 2] && [[1], [2]].flatten() == [1, 2]",
        "'%d %s %.2f'.format([1, 'a', 1.5]) == '1 a 1.50'",
        "optional.none().orValue(3) == 3 && [?optional.of(1), ?optional.none()] == [1]",
    ] {
        holds(text);
    }
}

#[test]
fn l8_errors_are_those_of_the_real_evaluator() {
    let input = json!({"a": 1});
    for (text, want) in [
        ("x.b", "no such key: b"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("[1][3]", "index out of bounds: 3"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("y", "undeclared reference to 'y' (in container '')"),
        (
            "'a' + 1",
            "found no matching overload for '_+_' applied to '(string, int)'",
        ),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
    ] {
        assert_eq!(run(text, &input), Err(want.to_owned()), "{text}");
    }
}

#[test]
fn l8_hostile_texts_are_refused_or_end() {
    let deep =
        |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    for text in [
        deep("(", ")", 50_000),
        deep("[", "]", 50_000),
        deep("{1:", "}", 5_000),
        "!".repeat(90_000) + "true",
        "-".repeat(90_000) + "1",
        vec!["1"; 40_000].join("+"),
        format!("x{}", ".a".repeat(40_000)),
        vec!["true"; 20_000].join("&&"),
        vec!["true?1:"; 10_000].join(""),
        "x".repeat(200_000),
        "\u{0}\u{7f}''\"".to_owned(),
        "'\\u{110000}'".to_owned(),
    ] {
        let _ = run(&text, &Value::Null);
    }
}

#[test]
fn l8_costly_texts_run_out_of_their_budget() {
    let many: Value = (0..2_000).map(Value::from).collect();
    for text in [
        "x.all(a, x.all(b, x.all(c, a + b + c >= 0)))",
        "x.map(a, x.map(b, x))  == []",
        "x.map(a, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').map(s, s.replace('', s)).map(s, s.replace('', s)) == []",
        "lists.range(100000000).size() > 0",
    ] {
        assert_eq!(run(text, &many), Err("budget".to_owned()), "{text}");
    }
    let bomb = "'a'.matches('(((a{1,100}){1,100}){1,100}){1,100}')";
    assert!(
        run(bomb, &Value::Null).is_err(),
        "the compiled size is bounded"
    );
    let text: Value = "a".repeat(100_000).into();
    assert!(
        run("x.matches('(a+)+$')", &text).is_ok(),
        "matching takes linear time"
    );
}

struct Nothing;

impl Bindings<'_> for Nothing {
    fn variable(&self, _name: &str) -> Option<Val<'static>> {
        None
    }
}

#[test]
fn expressions_over_other_environments() {
    let env = Environment::with(vec![("replicas", Decl::list(Decl::of(Type::Dyn)))]);
    let checked = check("replicas.all(r, r.ready)", &env).unwrap();
    assert!(checked.mentions("replicas"));
    let outcome = evaluate(&checked, &Nothing, LIMIT);
    assert!(outcome.value.is_err());
    let input = json!([{"ready": true}, {"ready": true}]);
    let bindings: Vec<(&str, Val<'_>)> = vec![("replicas", Val::of(&input, None))];
    assert!(matches!(
        evaluate(&checked, &bindings, LIMIT).value,
        Ok(Val::Bool(true))
    ));
}
