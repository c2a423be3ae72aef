//! `x-kubernetes-validations`: the rules of a structural schema, compiled, checked and run.
//!
//! Owns what makes a rule acceptable in a CustomResourceDefinition (`problems`), the walk
//! over a value with its older self, and the causes that failing rules give.
//! Does not own the other checks of a schema (`schema`).
//! Behaviour: Kubernetes `apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go`,
//! `apis/apiextensions/validation`; KEP-2876.

use super::check::{self, Checked, Environment};
use super::cost;
use super::eval::{Bindings, Failure, evaluate};
use super::parse;
use super::schema;
use super::types::{Decl, ListKind, REQUEST_BYTES_MAX, Type};
use super::value::Val;
use crate::json::{self, Value};
use crate::status::{Cause, cut_path};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What all rules of one object may spend.
pub const OBJECT_BUDGET: u64 = 10_000_000;
/// What one rule may spend on one value.
pub const CALL_BUDGET: u64 = 1_000_000;
/// The estimate that one rule may have.
const RULE_ESTIMATE_MAX: u64 = 10_000_000;
/// The estimate that all rules of a schema may have.
const SCHEMA_ESTIMATE_MAX: u64 = 100_000_000;

/// More causes than this are not told.
const CAUSES_MAX: usize = 10_000;

/// The compiled rules of a schema.
#[derive(Debug, Default)]
pub struct Rules {
    root: Option<Branch>,
}

#[derive(Debug)]
struct Branch {
    decl: Arc<Decl>,
    type_name: String,
    rules: Vec<Rule>,
    properties: Vec<(String, Branch)>,
    items: Option<Box<Branch>>,
    values: Option<Box<Branch>>,
}

#[derive(Debug)]
struct Rule {
    checked: Checked,
    source: String,
    message: String,
    message_expression: Option<Checked>,
    reason: String,
    field_path: String,
    transition: bool,
    optional_old: bool,
}

/// What running the rules found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Failed rules.
    pub causes: Vec<Cause>,
    /// Rules that fail on values which did not change: warnings instead of errors.
    pub warnings: Vec<String>,
}

/// Compiles the rules of a schema (`openAPIV3Schema`, or a part of it when not `resource`).
/// Rules that do not compile are left out: [`problems`] reports them.
pub fn compile(schema: &Value, resource: bool) -> Rules {
    Rules {
        root: branch(schema, resource, "self"),
    }
}

fn branch(schema: &Value, resource: bool, name: &str) -> Option<Branch> {
    let sources = schema.array_at(&["x-kubernetes-validations"]);
    let mut properties = Vec::new();
    if let Some(map) = schema.get("properties").and_then(Value::as_object) {
        for (property, sub) in map.iter() {
            if let Some(branch) = branch(sub, false, &format!("{name}.{property}")) {
                properties.push((property.to_owned(), branch));
            }
        }
    }
    let below = |key: &str| {
        let sub = schema.get(key)?;
        branch(sub, false, &format!("{name}.@{key}")).map(Box::new)
    };
    let (items, values) = (below("items"), below("additionalProperties"));
    if sources.is_empty() && properties.is_empty() && items.is_none() && values.is_none() {
        return None;
    }
    let decl = schema::declare(schema, resource, name).unwrap_or_else(|| Decl::of(Type::Dyn));
    let rules = sources
        .iter()
        .filter_map(|source| Rule::compile(source, &decl))
        .collect();
    Some(Branch {
        decl,
        type_name: schema.str_at(&["type"]).to_owned(),
        rules,
        properties,
        items,
        values,
    })
}

fn environment(decl: &Arc<Decl>, optional_old: bool) -> Environment {
    let old = if optional_old {
        Arc::new(Decl {
            ty: Type::optional(decl.ty.clone()),
            elements_max: decl.elements_max,
            bytes_min: decl.bytes_min,
            items: decl.items.clone(),
            list_kind: decl.list_kind.clone(),
        })
    } else {
        decl.clone()
    };
    Environment::with(vec![("self", decl.clone()), ("oldSelf", old)])
}

impl Rule {
    fn compile(source: &Value, decl: &Arc<Decl>) -> Option<Rule> {
        let optional_old = source.get("optionalOldSelf") == Some(&Value::Bool(true));
        let env = environment(decl, optional_old);
        let text = source.str_at(&["rule"]);
        let checked = check::check(text, &env).ok()?;
        let message_expression = match source.str_at(&["messageExpression"]) {
            "" => None,
            text => check::check(text, &env).ok(),
        };
        Some(Rule {
            transition: checked.mentions("oldSelf"),
            checked,
            source: text.trim().to_owned(),
            message: source.str_at(&["message"]).to_owned(),
            message_expression,
            reason: source.str_at(&["reason"]).to_owned(),
            field_path: source.str_at(&["fieldPath"]).to_owned(),
            optional_old,
        })
    }

    /// The rule or its message, for errors.
    fn label(&self) -> &str {
        if self.message.is_empty() {
            &self.source
        } else {
            self.message.trim()
        }
    }
}

struct SelfAndOld<'v> {
    own: Val<'v>,
    old: Val<'v>,
}

impl<'v> Bindings<'v> for SelfAndOld<'v> {
    fn variable(&self, name: &str) -> Option<Val<'v>> {
        match name {
            "self" => Some(self.own.clone()),
            "oldSelf" => Some(self.old.clone()),
            _ => None,
        }
    }
}

impl Rules {
    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Runs the rules on a value at `path` (empty for a whole object). `budget` is what is
    /// left to spend; once it is gone, no further rule runs.
    pub fn evaluate(
        &self,
        path: &str,
        value: &Value,
        old: Option<&Value>,
        budget: &mut u64,
    ) -> Findings {
        let mut walk = Walk {
            findings: Findings::default(),
            budget: *budget,
            exhausted: false,
        };
        if let Some(root) = &self.root {
            walk.branch(root, path, value, old);
        }
        *budget = walk.budget;
        walk.findings
    }
}

struct Walk {
    findings: Findings,
    budget: u64,
    exhausted: bool,
}

fn shown_path(path: &str) -> String {
    if path.is_empty() {
        "<nil>".to_owned()
    } else {
        path.to_owned()
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        shortened(name.to_owned())
    } else {
        shortened(format!("{path}.{name}"))
    }
}

fn shortened(mut path: String) -> String {
    cut_path(&mut path);
    path
}

impl Walk {
    fn branch(&mut self, branch: &Branch, path: &str, value: &Value, old: Option<&Value>) {
        if self.exhausted || value.is_null() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        for rule in &branch.rules {
            self.rule(branch, rule, path, value, old);
            if self.exhausted {
                return;
            }
        }
        match value {
            Value::Object(map) => {
                for (name, below) in &branch.properties {
                    if let Some(value) = map.get(name) {
                        let old = old.and_then(|old| old.get(name));
                        self.branch(below, &join(path, name), value, old);
                    }
                }
                if let Some(below) = &branch.values {
                    for (key, value) in map.iter() {
                        let old = old.and_then(|old| old.get(key));
                        self.branch(below, &shortened(format!("{path}[{key}]")), value, old);
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = &branch.items else { return };
                let older = Older::of(&branch.decl.list_kind, old);
                for (i, item) in items.iter().enumerate() {
                    let path = shortened(format!("{path}[{i}]"));
                    self.branch(below, &path, item, older.self_of(item));
                }
            }
            _ => {}
        }
    }

    fn rule(
        &mut self,
        branch: &Branch,
        rule: &Rule,
        path: &str,
        value: &Value,
        old: Option<&Value>,
    ) {
        if rule.transition && old.is_none() && !rule.optional_old {
            return;
        }
        let decl = Some(&*branch.decl);
        let old_value = match (old, rule.optional_old) {
            (Some(old), false) => Val::of(old, decl),
            (Some(old), true) => Val::some(Val::of(old, decl)),
            (None, true) => Val::Optional(None),
            (None, false) => Val::Null,
        };
        let bindings = SelfAndOld {
            own: Val::of(value, decl),
            old: old_value,
        };
        let limit = self.budget.min(CALL_BUDGET);
        let outcome = evaluate(&rule.checked, &bindings, limit);
        self.budget = self.budget.saturating_sub(outcome.cost);
        let cause = match outcome.value {
            Ok(Val::Bool(true)) => return,
            Ok(_) => {
                let message = self.message(rule, &bindings);
                failed(rule, branch, path, value, &message)
            }
            Err(Failure::Message(text)) => Cause::invalid(
                shown_path(path),
                &Value::from(branch.type_name.as_str()),
                &format!("{text} evaluating rule: {}", rule.label()),
            ),
            Err(Failure::Budget) => {
                self.exhausted = true;
                let text = if self.budget == 0 {
                    "validation failed due to running out of cost budget, no further validation rules will be run".to_owned()
                } else {
                    format!(
                        "call cost exceeds limit for rule: {}, no further validation rules will be run",
                        rule.label()
                    )
                };
                Cause::invalid(
                    shown_path(path),
                    &Value::from(branch.type_name.as_str()),
                    &text,
                )
            }
        };
        // Ratcheting: what has not changed may stay as it was (L7).
        if !rule.transition && !self.exhausted && old == Some(value) {
            self.findings.warnings.push(cause.text());
        } else if self.findings.causes.len() < CAUSES_MAX {
            self.findings.causes.push(cause);
        }
    }

    fn message(&mut self, rule: &Rule, bindings: &SelfAndOld<'_>) -> String {
        if let Some(expression) = &rule.message_expression {
            let limit = self.budget.min(CALL_BUDGET);
            let outcome = evaluate(expression, bindings, limit);
            self.budget = self.budget.saturating_sub(outcome.cost);
            if let Ok(Val::String(text)) = outcome.value {
                let text = text.trim();
                if !text.is_empty() && !text.contains(['\n', '\r']) {
                    return text.to_owned();
                }
            }
        }
        if rule.message.is_empty() {
            format!("failed rule: {}", rule.source)
        } else {
            rule.message.trim().to_owned()
        }
    }
}

/// The older selves of a list's items, where items can be told apart by keys; the first of equal ones counts.
struct Older<'v, 'k> {
    keys: &'k [String],
    items: BTreeMap<String, &'v Value>,
}

impl<'v, 'k> Older<'v, 'k> {
    fn of(kind: &'k ListKind, old: Option<&'v Value>) -> Older<'v, 'k> {
        let keys = match kind {
            ListKind::Map(keys) => keys.as_slice(),
            _ => &[],
        };
        let mut items = BTreeMap::new();
        if !keys.is_empty() {
            for item in old.and_then(Value::as_array).into_iter().flatten() {
                items.entry(place(keys, item)).or_insert(item);
            }
        }
        Older { keys, items }
    }

    fn self_of(&self, item: &Value) -> Option<&'v Value> {
        if self.items.is_empty() {
            return None;
        }
        self.items.get(&place(self.keys, item)).copied()
    }
}

fn place(keys: &[String], item: &Value) -> String {
    let values: Vec<Option<&Value>> = keys.iter().map(|key| item.get(key)).collect();
    format!("{values:?}")
}

fn failed(rule: &Rule, branch: &Branch, path: &str, value: &Value, message: &str) -> Cause {
    let field = shown_path(&format!("{path}{}", field_path(&rule.field_path, branch)));
    let field = field.trim_start_matches('.').to_owned();
    let scalar = !matches!(value, Value::Object(_) | Value::Array(_));
    let shows = scalar && rule.field_path.is_empty();
    match rule.reason.as_str() {
        "FieldValueForbidden" => Cause::forbidden(field, message),
        "FieldValueRequired" => Cause::required(field, message),
        "FieldValueDuplicate" => Cause::new(
            Cow::Borrowed("FieldValueDuplicate"),
            field,
            match shows {
                true => format!("Duplicate value: {}", json::to_string(value)),
                false => "Duplicate value".to_owned(),
            },
        ),
        _ if shows => Cause::invalid(field, value, message),
        _ => Cause::new(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {message}"),
        ),
    }
}

/// A `fieldPath` as paths of causes have it: map keys in brackets.
fn field_path(text: &str, branch: &Branch) -> String {
    let mut out = String::new();
    let mut map = branch.values.is_some() || matches!(branch.decl.ty, Type::Map(..));
    let mut decl = Some(branch.decl.clone());
    for step in steps(text) {
        if map {
            out.push_str(&format!("[{step}]"));
        } else {
            out.push_str(&format!(".{step}"));
        }
        decl = decl.and_then(|decl| match &decl.ty {
            Type::Object(object) => object
                .fields
                .values()
                .find(|field| field.name == step)
                .map(|field| field.decl.clone()),
            _ => decl.items.clone(),
        });
        map = decl
            .as_ref()
            .is_some_and(|decl| matches!(decl.ty, Type::Map(..)));
    }
    out
}

/// The steps of `.a.b['c']`.
fn steps(text: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("['") {
            let end = after.find("']").unwrap_or(after.len());
            steps.push(after[..end].replace("\\'", "'"));
            rest = after.get(end + 2..).unwrap_or_default();
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 && after.len() == rest.len() {
                break;
            }
            steps.push(after[..end].to_owned());
            rest = &after[end..];
        }
    }
    steps
}

/// What is wrong with the rules of a schema at `path` of a CustomResourceDefinition.
pub fn problems(schema: &Value, path: &str) -> Vec<Cause> {
    let mut inspection = Inspection {
        causes: Vec::new(),
        total: 0,
        expensive: Vec::new(),
    };
    inspection.node(schema, path, true, Some(1), None);
    let total = inspection.total;
    let mut causes = inspection.causes;
    if total > SCHEMA_ESTIMATE_MAX {
        inspection
            .expensive
            .sort_by_key(|expensive| std::cmp::Reverse(expensive.0));
        for (_, rule) in inspection.expensive.into_iter().take(4) {
            causes.push(Cause::forbidden(
                rule,
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
            ));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        causes.push(Cause::forbidden(
            path,
            &excess(what, total, SCHEMA_ESTIMATE_MAX),
        ));
    }
    causes
}

struct Inspection {
    causes: Vec<Cause>,
    total: u64,
    expensive: Vec<(u64, String)>,
}

fn excess(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

impl Inspection {
    /// `cardinality`: how often the node can occur, `None` if unbounded;
    /// `uncorrelatable`: the list above that keeps it from having an older self.
    fn node(
        &mut self,
        schema: &Value,
        path: &str,
        resource: bool,
        cardinality: Option<u64>,
        uncorrelatable: Option<&str>,
    ) {
        let bounded = |key: &str| {
            let limit = schema.get(key)?.as_i64()?;
            Some(cardinality?.saturating_mul(u64::try_from(limit).unwrap_or(0)))
        };
        if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
            let kind = schema.str_at(&["x-kubernetes-list-type"]);
            let blocked = if kind == "map" {
                uncorrelatable
            } else {
                uncorrelatable.or(Some(path))
            };
            let below = format!("{path}.items");
            self.node(items, &below, false, bounded("maxItems"), blocked);
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (property, sub) in properties.iter() {
                let below = format!("{path}.properties[{property}]");
                self.node(sub, &below, false, cardinality, uncorrelatable);
            }
        }
        if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
            let below = format!("{path}.additionalProperties");
            self.node(
                values,
                &below,
                false,
                bounded("maxProperties"),
                uncorrelatable,
            );
        }
        let sources = schema.array_at(&["x-kubernetes-validations"]);
        if sources.is_empty() {
            return;
        }
        let Some(decl) = schema::declare(schema, resource, "self") else {
            return;
        };
        let times = cardinality.unwrap_or(REQUEST_BYTES_MAX / (decl.bytes_min + 1));
        for (i, source) in sources.iter().enumerate() {
            let rule_path = format!("{path}.x-kubernetes-validations[{i}]");
            self.rule(source, &rule_path, &decl, times, uncorrelatable);
        }
    }

    fn observe(&mut self, path: String, units: u64, what: &str) {
        if units > RULE_ESTIMATE_MAX {
            let text = excess(what, units, RULE_ESTIMATE_MAX);
            self.causes.push(Cause::forbidden(path.clone(), &text));
        }
        self.total = self.total.saturating_add(units);
        self.expensive.push((units, path));
    }

    fn rule(
        &mut self,
        source: &Value,
        path: &str,
        decl: &Arc<Decl>,
        times: u64,
        uncorrelatable: Option<&str>,
    ) {
        let text = source.str_at(&["rule"]);
        let rule = format!("{path}.rule");
        if text.trim().is_empty() {
            self.causes
                .push(Cause::required(rule, "rule is not specified"));
            return;
        }
        let optional_old = source.get("optionalOldSelf") == Some(&Value::Bool(true));
        let env = environment(decl, optional_old);
        match check::check(text, &env) {
            Err(issues) => {
                let detail = format!("compilation failed: {}", parse::render(text, &issues));
                self.causes.push(invalid(rule, source, &detail));
            }
            Ok(checked) if checked.ty() != &Type::Bool => {
                self.causes.push(invalid(
                    rule,
                    source,
                    "cel expression must evaluate to a bool",
                ));
            }
            Ok(checked) => {
                let units = cost::estimate(&checked, &env).max.saturating_mul(times);
                self.observe(rule.clone(), units, "estimated rule cost");
                self.message_expression(source, path, &env, times);
                match uncorrelatable {
                    Some(above) if checked.mentions("oldSelf") => {
                        let detail = format!(
                            "oldSelf cannot be used on the uncorrelatable portion of the schema within {above}"
                        );
                        self.causes
                            .push(Cause::invalid(rule, &Value::from(text), &detail));
                    }
                    _ => {}
                }
            }
        }
    }

    fn message_expression(&mut self, source: &Value, path: &str, env: &Environment, times: u64) {
        let text = source.str_at(&["messageExpression"]);
        if text.is_empty() {
            return;
        }
        let place = format!("{path}.messageExpression");
        match check::check(text, env) {
            Err(issues) => {
                let detail = format!(
                    "messageExpression compilation failed: {}",
                    parse::render(text, &issues)
                );
                self.causes.push(invalid(place, source, &detail));
            }
            Ok(checked) if checked.ty() != &Type::String => {
                self.causes.push(invalid(
                    place,
                    source,
                    "messageExpression must evaluate to a string",
                ));
            }
            Ok(checked) => {
                let units = cost::estimate(&checked, env).max.saturating_mul(times);
                self.observe(place, units, "estimated messageExpression cost");
            }
        }
    }
}

fn invalid(field: String, source: &Value, detail: &str) -> Cause {
    let text = |key: &str| json::to_string(&Value::from(source.str_at(&[key])));
    let or_null = |key: &str| json::to_string(source.get(key).unwrap_or(&Value::Null));
    let shown = format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        or_null("reason"),
        text("fieldPath"),
        or_null("optionalOldSelf"),
    );
    Cause::new(
        "FieldValueInvalid",
        field,
        format!("Invalid value: {shown}: {detail}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn causes(schema: Value, value: Value) -> Vec<String> {
        let mut budget = OBJECT_BUDGET;
        let schema = json!({"type": "object", "properties": {"f": schema}});
        assert_eq!(problems(&schema, "s"), vec![]);
        let value = json!({"f": value});
        let findings = compile(&schema, false).evaluate("", &value, None, &mut budget);
        findings.causes.iter().map(Cause::text).collect()
    }

    fn rule(ty: &str, rule: &str) -> Value {
        json!({"type": ty, "maxLength": 100, "maxItems": 10, "maxProperties": 10, "items": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": rule}]})
    }

    #[test]
    fn l8_a_failed_rule_shows_a_scalar_value() {
        let got = causes(rule("string", "self == 'x'"), json!("y"));
        assert_eq!(got, ["f: Invalid value: \"y\": failed rule: self == 'x'"]);
        assert_eq!(
            causes(rule("string", "self == 'x'"), json!("x")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn l8_errors_while_running() {
        let got = causes(rule("integer", "10 / self > 1"), json!(0));
        assert_eq!(
            got,
            ["f: Invalid value: \"integer\": division by zero evaluating rule: 10 / self > 1"]
        );
        let got = causes(rule("array", "self[2] > 0"), json!([1]));
        assert_eq!(
            got,
            ["f: Invalid value: \"array\": index out of bounds: 2 evaluating rule: self[2] > 0"]
        );
    }

    #[test]
    fn l8_lists() {
        for text in [
            "self.all(x, x > 0)",
            "self.exists(x, x == 1) && self.exists_one(x, x == 2)",
            "self.filter(x, x > 1).size() == 1 && self.map(x, x * 2)[0] == 2",
            "self.sum() == 3 && self.min() == 1 && self.max() == 2",
            "(self + [9]).size() == 3 && self[0] == 1",
            "self.slice(0,1) == [1]",
            "self.sort() == [1,2]",
            "self.distinct().size() == 2",
            "self.all(i, v, i < 2 && v != 0)",
            "self.transformList(i, v, v + i) == [1, 3]",
            "[1, 'a' == 'b' ? 2 : 3].size() == 2",
            "'%s-%d'.format(['a', 3]) == 'a-3'",
            "self == [1, 2] && self != [2, 1]",
            "cidr('10.0.0.0/8').containsIP('10.1.2.3')",
            "url('https://a.b:80/c?d=e').getHostname() == 'a.b'",
            "[1, 2, 3].exists(x, 1 / (x - 1) > 100 || x == 2)",
            "optional.of(3).optMap(x, x + 1).value() == 4",
            "duration('90m').getHours() == 1",
        ] {
            assert_eq!(
                causes(rule("array", text), json!([1, 2])),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn l8_compile_errors() {
        let schema = json!({"type": "object", "properties": {"f": rule("string", "self == 1")}});
        let got = problems(&schema, "s");
        assert_eq!(
            got[0].text(),
            "s.properties[f].x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self == 1\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:6: found no matching overload for '_==_' applied to '(string, int)'\n | self == 1\n | .....^"
        );
    }

    #[test]
    fn l8_literals_are_checked_when_compiled() {
        for (text, function) in [
            ("self.matches('[')", "matches"),
            ("duration('x') == duration('1s')", "duration"),
            (
                "timestamp('x') == timestamp('2020-01-01T00:00:00Z')",
                "timestamp",
            ),
        ] {
            let schema = json!({"type": "object", "properties": {"f": rule("string", text)}});
            let got = problems(&schema, "s");
            let want = format!("invalid {function} argument");
            assert!(got[0].message.contains(&want), "{got:?}");
        }
    }

    #[test]
    fn l8_optionals_are_indexed_and_unwrapped() {
        for text in [
            "optional.of(self)[0].orValue(9) == 1",
            "optional.of(self)[7].orValue(9) == 9",
            "optional.unwrap([optional.of(1), optional.none()]) == [1]",
            "[optional.of(1)].unwrapOpt() == [1]",
        ] {
            let got = causes(rule("array", text), json!([1, 2]));
            assert_eq!(got, Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn l8_estimates_bound_rules_and_schemas() {
        let schema = json!({"type": "object", "properties": {"f": {"type": "array", "items": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self == 'x'"}]}}}});
        assert_eq!(problems(&schema, "s"), vec![]);
        let schema = json!({"type": "object", "properties": {"f": {"type": "array", "items": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}});
        let got: Vec<String> = problems(&schema, "s")
            .iter()
            .map(|cause| cause.message.chars().take(60).collect())
            .collect();
        assert_eq!(got.len(), 4, "{got:?}");
        assert!(
            got[0].starts_with("Forbidden: estimated rule cost exceeds budget by factor of"),
            "{got:?}"
        );
    }

    #[test]
    fn l8_hostile_expressions_end() {
        let big: Vec<Value> = (0..1000).map(Value::from).collect();
        let mut budget = OBJECT_BUDGET;
        let schema = rule(
            "array",
            "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))",
        );
        let findings = compile(&schema, false).evaluate("f", &Value::Array(big), None, &mut budget);
        assert_eq!(findings.causes.len(), 1);
        assert!(
            findings.causes[0]
                .message
                .contains("call cost exceeds limit")
        );
    }
}
