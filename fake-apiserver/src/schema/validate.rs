//! Value validation of custom resources, with ratcheting.
//!
//! Owns L6's errors in the order and words of kube-openapi, and L7: on update, what is wrong with an unchanged node does not
//! count. Correlated are properties, map values and elements of lists of type map; other lists as a whole.
//! Does not own duplicates (`list_type`), embedded resources (`metadata`) and CEL (`cel`).
//!
//! Simplification: errors of several properties come in key order (the real server draws the order).
//! Source: k8s.io/kube-openapi `pkg/validation/validate`, apiextensions-apiserver `pkg/apiserver/validation`.

use std::collections::BTreeMap;

use super::{ListType, Rules, Schema, Type, format};
use crate::json::Value;
use crate::status::{Cause, cut_path};

const CAUSES_MAX: usize = 10_000;

/// What is wrong with a custom resource by its schema. `old` is the stored object of an update.
pub fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    validate_below("", schema, new, old)
}

/// The same for a part of an object: texts name paths from here, fields of causes from the root (S1).
pub fn validate_below(
    prefix: &str,
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
) -> Vec<Cause> {
    let mut validator = Validator {
        prefix,
        path: String::new(),
    };
    validator.node(schema, new, old).causes
}

#[derive(Default)]
struct Outcome {
    causes: Vec<Cause>,
    // How many checks were made; decides which branch of a oneOf is shown.
    checks: usize,
}

impl Outcome {
    fn merge(&mut self, other: Outcome) {
        self.checks += other.checks;
        let room = CAUSES_MAX.saturating_sub(self.causes.len());
        self.causes.extend(other.causes.into_iter().take(room));
    }
}

struct Validator<'a> {
    prefix: &'a str,
    path: String,
}

impl Validator<'_> {
    // A node that may be ratcheted.
    fn node(&mut self, schema: &Schema, new: &Value, old: Option<&Value>) -> Outcome {
        let outcome = self.check(schema, new, old);
        if !outcome.causes.is_empty() && old.is_some_and(|old| old == new) {
            return Outcome::default();
        }
        outcome
    }

    fn check(&mut self, schema: &Schema, new: &Value, old: Option<&Value>) -> Outcome {
        let mut outcome = Outcome::default();
        self.type_of(schema, new, &mut outcome);
        if !new.is_null() {
            if let Some(rules) = &schema.rules {
                self.composition(rules, new, old, &mut outcome);
            }
            match new {
                Value::String(text) => self.string(schema, text, &mut outcome),
                Value::Int(_) | Value::UInt(_) | Value::Float(_) => {
                    self.number(schema, new, &mut outcome)
                }
                Value::Array(items) => self.list(schema, items, old, &mut outcome),
                _ => {}
            }
        }
        outcome.checks += 1;
        if !schema.enumeration.is_empty()
            && !schema.enumeration.iter().any(|allowed| equal(allowed, new))
        {
            let allowed = schema.enumeration.iter().map(|value| match value {
                Value::String(text) => text.to_string(),
                other => other.to_string(),
            });
            let allowed: Vec<String> = allowed.collect();
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            outcome
                .causes
                .push(Cause::not_supported(self.field(), new, &allowed));
        }
        if new.is_object() {
            self.object(schema, new, old, &mut outcome);
        }
        outcome
    }

    fn field(&self) -> String {
        match (self.prefix.is_empty(), self.path.is_empty()) {
            (true, true) => "<nil>".to_owned(),
            (true, false) => self.path.clone(),
            (false, true) => self.prefix.to_owned(),
            (false, false) => format!("{}.{}", self.prefix, self.path),
        }
    }

    fn invalid(&self, value: &Value, text: &str) -> Cause {
        Cause::invalid(
            self.field(),
            value,
            &format!("{} in body {text}", self.path),
        )
    }

    // Errors without a place of their own.
    fn placeless(&self, text: String) -> Cause {
        let field = if self.prefix.is_empty() {
            "<nil>"
        } else {
            self.prefix
        };
        Cause::invalid(field, &Value::from(""), &text)
    }

    fn mistyped(&self, wanted: &str, got: &str) -> Cause {
        let text = format!("{} in body must be of type {wanted}: \"{got}\"", self.path);
        Cause::type_invalid(self.field(), &Value::from(got), &text)
    }

    fn type_of(&self, schema: &Schema, new: &Value, outcome: &mut Outcome) {
        let wanted = match (schema.int_or_string, schema.kind) {
            (true, Type::Any) => "integer,string",
            (_, kind) => kind.name(),
        };
        let format = schema.format().unwrap_or_default();
        if wanted.is_empty() && format.is_empty() {
            return;
        }
        outcome.checks += 1;
        if new.is_null() {
            if !wanted.is_empty() && !schema.nullable {
                outcome.causes.push(self.mistyped(wanted, "null"));
            }
            return;
        }
        let (got, got_format) = match new {
            Value::String(_) => ("string", ""),
            Value::Bool(_) => ("boolean", ""),
            Value::Int(_) => ("integer", "int64"),
            Value::UInt(_) | Value::Float(_) => ("number", "double"),
            Value::Array(_) => ("array", ""),
            _ => ("object", ""),
        };
        let contains = |kind: &str| wanted.split(',').any(|wanted| wanted == kind);
        let whole =
            matches!(new, Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.2e18);
        let lenient = (whole && contains("integer")) || (got == "integer" && contains("number"));
        let text_like = matches!(new, Value::String(_) | Value::Array(_));
        let numeric = contains("number") || contains("integer");
        let fits = contains(got) || lenient;
        if !text_like && !format.is_empty() && !fits && format != got_format {
            outcome.causes.push(self.mistyped(format, got_format));
        } else if !numeric && !format.is_empty() && text_like {
            // Left to the format.
        } else if !wanted.is_empty() && !fits {
            outcome.causes.push(self.mistyped(wanted, got));
        } else {
            outcome.checks += 1;
        }
    }

    fn composition(
        &mut self,
        rules: &Rules,
        new: &Value,
        old: Option<&Value>,
        outcome: &mut Outcome,
    ) {
        outcome.checks += 1;
        if !rules.any_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut fits = false;
            for branch in &rules.any_of {
                let result = self.check(branch, new, old);
                if result.causes.is_empty() {
                    fits = true;
                    break;
                }
                if best.as_ref().is_none_or(|best| result.checks > best.checks) {
                    best = Some(result);
                }
            }
            if !fits {
                let text = format!(
                    "\"{}\" must validate at least one schema (anyOf)",
                    self.path
                );
                outcome.causes.push(self.placeless(text));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !rules.one_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut fitting = 0;
            for branch in &rules.one_of {
                let result = self.check(branch, new, old);
                if result.causes.is_empty() {
                    fitting += 1;
                    best = None;
                } else if fitting == 0
                    && best.as_ref().is_none_or(|best| result.checks > best.checks)
                {
                    best = Some(result);
                }
            }
            if fitting != 1 {
                let found = match fitting {
                    0 => "Found none valid".to_owned(),
                    n => format!("Found {n} valid alternatives"),
                };
                let text = format!(
                    "\"{}\" must validate one and only one schema (oneOf). {found}",
                    self.path
                );
                outcome.causes.push(self.placeless(text));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !rules.all_of.is_empty() {
            let mut fitting = 0;
            for branch in &rules.all_of {
                let result = self.check(branch, new, old);
                fitting += usize::from(result.causes.is_empty());
                outcome.merge(result);
            }
            if fitting != rules.all_of.len() {
                let none = if fitting == 0 { ". None validated" } else { "" };
                let text = format!(
                    "\"{}\" must validate all the schemas (allOf){none}",
                    self.path
                );
                outcome.causes.push(self.placeless(text));
            }
        }
        if let Some(not) = &rules.not
            && self.check(not, new, old).causes.is_empty()
        {
            let text = format!("\"{}\" must not validate the schema (not)", self.path);
            outcome.causes.push(self.placeless(text));
        }
    }

    fn string(&self, schema: &Schema, text: &str, outcome: &mut Outcome) {
        outcome.checks += 1;
        if let Some(rules) = &schema.rules {
            self.text_rules(rules, text, outcome);
        }
        if let Some(format) = schema.format()
            && format::is_checked(format)
        {
            outcome.checks += 1;
            if !format::fits(format, text) {
                let quoted = crate::status::go_quote(text);
                let message = format!("{} in body must be of type {format}: {quoted}", self.path);
                outcome
                    .causes
                    .push(Cause::type_invalid(self.field(), &text.into(), &message));
            }
        }
    }

    // The first that fails is told.
    fn text_rules(&self, rules: &Rules, text: &str, outcome: &mut Outcome) {
        let length = text.chars().count() as i64;
        if let Some(max) = rules.max_length.filter(|max| length > *max) {
            outcome.causes.push(too_long(self.field(), max));
        } else if let Some(min) = rules.min_length.filter(|min| length < *min) {
            let wrong = format!("should be at least {min} chars long");
            outcome.causes.push(self.invalid(&text.into(), &wrong));
        } else if let Some(pattern) = rules
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.matches(text))
        {
            let wrong = format!("should match '{}'", pattern.source());
            outcome.causes.push(self.invalid(&text.into(), &wrong));
        }
    }

    fn number(&self, schema: &Schema, new: &Value, outcome: &mut Outcome) {
        outcome.checks += 1;
        if let Some(text) = self.out_of_range("Checked", schema, new) {
            outcome.causes.push(self.placeless(text));
        }
        let Some(rules) = &schema.rules else {
            return;
        };
        let Some(value) = new.as_f64() else {
            return;
        };
        // Integers are compared as integers, so that they stay exact.
        let ordering = |bound: f64| match new {
            Value::Int(number) if bound.fract() == 0.0 && bound.abs() < 9.2e18 => {
                number.cmp(&(bound as i64))
            }
            _ => value.total_cmp(&bound),
        };
        if let Some(factor) = rules.multiple_of {
            let multiple = match new {
                _ if factor <= 0.0 => None,
                Value::Int(number) if factor.fract() == 0.0 && factor < 9.2e18 => {
                    Some(number % factor as i64 == 0)
                }
                _ if factor < 1.0 => Some(is_whole(1.0 / factor * value)),
                _ => Some(is_whole(value / factor)),
            };
            match multiple {
                None => {
                    let text = format!(
                        "factor MultipleOf declared for {} must be positive: {factor}",
                        self.path
                    );
                    outcome
                        .causes
                        .push(Cause::invalid(self.field(), &Value::from(factor), &text));
                }
                Some(false) => {
                    let text = format!("should be a multiple of {}", show(factor));
                    outcome.causes.push(self.invalid(new, &text));
                }
                Some(true) => {}
            }
        }
        if let Some(minimum) = rules.minimum {
            let words = if rules.exclusive_minimum {
                "greater than"
            } else {
                "greater than or equal to"
            };
            let order = ordering(minimum);
            if order.is_lt() || (rules.exclusive_minimum && order.is_eq()) {
                outcome
                    .causes
                    .push(self.invalid(new, &format!("should be {words} {}", show(minimum))));
            }
        }
        if let Some(maximum) = rules.maximum {
            let words = if rules.exclusive_maximum {
                "less than"
            } else {
                "less than or equal to"
            };
            let order = ordering(maximum);
            if order.is_gt() || (rules.exclusive_maximum && order.is_eq()) {
                outcome
                    .causes
                    .push(self.invalid(new, &format!("should be {words} {}", show(maximum))));
            }
        }
    }

    fn out_of_range(&self, what: &str, schema: &Schema, new: &Value) -> Option<String> {
        let format = schema.format().unwrap_or_default();
        let kind = schema.kind.name();
        let whole = match new {
            Value::Int(number) => Some(*number),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => {
                Some(*number as i64)
            }
            _ => None,
        };
        let fits = match (kind, format) {
            ("integer", "int32") => whole.is_some_and(|number| i32::try_from(number).is_ok()),
            ("integer", "uint32") => whole.is_some_and(|number| u32::try_from(number).is_ok()),
            ("integer", "uint64") => whole.is_some_and(|number| number >= 0),
            ("integer", _) => whole.is_some(),
            (_, "float" | "float32") => new
                .as_f64()
                .is_some_and(|number| number.abs() <= f64::from(f32::MAX)),
            _ => true,
        };
        if fits {
            return None;
        }
        let format = if format.is_empty() {
            "(default format)".to_owned()
        } else {
            format!("with format {format}")
        };
        Some(format!(
            "{what} value must be of type {kind} {format} in {}",
            self.path
        ))
    }

    fn list(
        &mut self,
        schema: &Schema,
        items: &[Value],
        old: Option<&Value>,
        outcome: &mut Outcome,
    ) {
        outcome.checks += 1;
        if let Some(element) = schema.items() {
            let by_key = Correlation::new(schema, old);
            let length = self.path.len();
            for (i, item) in items.iter().enumerate() {
                self.path.push_str(&format!("[{i}]"));
                cut_path(&mut self.path);
                let result = self.node(element, item, by_key.find(schema, item));
                outcome.merge(result);
                self.path.truncate(length);
            }
        }
        let Some(rules) = &schema.rules else {
            return;
        };
        let count = items.len() as i64;
        if let Some(min) = rules.min_items.filter(|min| count < *min) {
            let text = format!("should have at least {min} items");
            outcome.causes.push(self.invalid(&Value::Int(count), &text));
        }
        if let Some(max) = rules.max_items.filter(|max| count > *max) {
            outcome.causes.push(too_many(self.field(), count, max));
        }
    }

    fn object(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, outcome: &mut Outcome) {
        let Value::Object(map) = new else {
            return;
        };
        outcome.checks += 1;
        if let Some(rules) = &schema.rules {
            let count = map.len() as i64;
            if let Some(min) = rules.min_properties.filter(|min| count < *min) {
                let text = format!("should have at least {min} properties");
                outcome.causes.push(self.invalid(&Value::Int(count), &text));
                return;
            }
            if let Some(max) = rules.max_properties.filter(|max| count > *max) {
                outcome.causes.push(too_many(self.field(), count, max));
                return;
            }
        }
        let length = self.path.len();
        for (key, value) in map.iter() {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            cut_path(&mut self.path);
            let child = match schema.field(key) {
                // Names are all that a schema can say about an object's metadata.
                Some(field) if field.schema().name.is_some() => schema.metadata.as_deref(),
                Some(field) => Some(field.schema()),
                None => schema.values(),
            };
            if let Some(child) = child {
                let old = old.and_then(|old| old.get(key));
                let result = self.node(child, value, old);
                outcome.merge(result);
            } else if schema.values_forbidden && schema.field(key).is_none() {
                let text = format!("{} in body is a forbidden property", self.path);
                let parent = &self.path[..length];
                let field = match (self.prefix.is_empty(), parent.is_empty()) {
                    (true, true) => "<nil>".to_owned(),
                    (true, false) => parent.to_owned(),
                    (false, true) => self.prefix.to_owned(),
                    (false, false) => format!("{}.{parent}", self.prefix),
                };
                outcome
                    .causes
                    .push(Cause::invalid(field, &Value::from(key), &text));
            }
            self.path.truncate(length);
        }
        for name in &schema.required {
            if !map.contains_key(name)
                && schema
                    .field(name)
                    .is_none_or(|field| field.default().is_none())
            {
                let dot = if length > 0 { "." } else { "" };
                self.path.push_str(dot);
                self.path.push_str(name);
                outcome.causes.push(Cause::required(self.field(), ""));
                self.path.truncate(length);
            }
        }
    }
}

/// Old elements of a list of type map by their keys; of other lists nothing correlates.
struct Correlation<'a> {
    elements: BTreeMap<String, &'a Value>,
}

impl<'a> Correlation<'a> {
    fn new(schema: &Schema, old: Option<&'a Value>) -> Correlation<'a> {
        let mut elements = BTreeMap::new();
        if schema.list_type() == ListType::Map
            && let Some(Value::Array(items)) = old
        {
            for item in items {
                elements.entry(key_text(schema, item)).or_insert(item);
            }
        }
        Correlation { elements }
    }

    fn find(&self, schema: &Schema, item: &Value) -> Option<&'a Value> {
        if self.elements.is_empty() {
            return None;
        }
        self.elements.get(&key_text(schema, item)).copied()
    }
}

fn key_text(schema: &Schema, item: &Value) -> String {
    let keys = schema.list_map_keys().iter();
    keys.map(|key| item.get(key).map(Value::to_string).unwrap_or_default() + "\n")
        .collect()
}

fn too_long(field: String, max: i64) -> Cause {
    let bytes = if max == 1 { "byte" } else { "bytes" };
    Cause::new(
        "FieldValueTooLong",
        field,
        format!("Too long: may not be more than {max} {bytes}"),
    )
}

fn too_many(field: String, count: i64, max: i64) -> Cause {
    let items = if max == 1 { "item" } else { "items" };
    Cause::new(
        "FieldValueTooMany",
        field,
        format!("Too many: {count}: must have at most {max} {items}"),
    )
}

// A null is equal to nothing, not even to null.
fn equal(a: &Value, b: &Value) -> bool {
    (a == b && !a.is_null()) || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn is_whole(number: f64) -> bool {
    let off = (number - number.round()).abs();
    off < 1e-9 || off < 1e-9 * number.abs()
}

fn show(number: f64) -> String {
    Value::from(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::schema::build;

    fn check(spec: Value, value: Value, want: &[&str]) {
        let schema = build(&json!({"type": "object", "properties": {"spec": spec}}));
        let causes = validate(&schema, &json!({"spec": value}), None);
        let texts: Vec<String> = causes.iter().map(Cause::text).collect();
        assert_eq!(texts, want);
    }

    #[test]
    fn l6_texts_as_recorded() {
        let string = || json!({"type": "string"});
        check(
            string(),
            json!(1),
            &["spec: Invalid value: \"integer\": spec in body must be of type string: \"integer\""],
        );
        check(
            json!({"type": "integer"}),
            json!(1.5),
            &[
                "spec: Invalid value: \"number\": spec in body must be of type integer: \"number\"",
                "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec",
            ],
        );
        check(
            json!({"type": "integer", "minimum": 1, "multipleOf": 5}),
            json!(-3),
            &[
                "spec: Invalid value: -3: spec in body should be a multiple of 5",
                "spec: Invalid value: -3: spec in body should be greater than or equal to 1",
            ],
        );
        check(
            json!({"type": "object", "additionalProperties": false}),
            json!({"a": 1}),
            &["spec: Invalid value: \"a\": spec.a in body is a forbidden property"],
        );
        check(
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            &[
                "spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
            ],
        );
        check(
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            &["spec: Unsupported value: 3: supported values: \"1\", \"2\""],
        );
    }

    #[test]
    fn l6_compositions_show_the_best_branch() {
        let branch = |name: &str| json!({"required": [name]});
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [(branch("a")), (branch("b"))]
        });
        check(
            schema.clone(),
            json!({}),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
                "spec.a: Required value",
            ],
        );
        check(
            schema,
            json!({"a": "", "b": ""}),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        );
    }

    #[test]
    fn l7_unchanged_nodes_are_ratcheted() {
        let schema = build(&json!({"type": "object", "properties": {
            "a": {"type": "integer", "minimum": 10}, "b": {"type": "integer"},
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "minimum": 5}}
            }}
        }}));
        let old = json!({"a": 1, "b": 1, "l": [{"k": "x", "v": 1}, {"k": "y", "v": 1}]});
        let new = json!({"a": 1, "b": 2, "l": [{"k": "y", "v": 1}, {"k": "x", "v": 2}]});
        let causes = validate(&schema, &new, Some(&old));
        assert_eq!(causes.len(), 1);
        assert_eq!(causes[0].field, "l[1].v");
        assert_eq!(validate(&schema, &new, None).len(), 3);
    }
}
