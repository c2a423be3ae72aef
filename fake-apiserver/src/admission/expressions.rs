//! What makes the expressions of a webhook configuration or policy acceptable.
//!
//! Owns their checks; does not own the rest of those objects (`strategy`).
//! Behaviour: `pkg/apis/admissionregistration/validation`, apiserver
//! `admission/plugin/cel/compile.go` (AD7, AD7a, AD14).

use super::conditions::environment;
use super::policy_source::{declare_variable, declare_variables, without_authorizer};
use crate::cel::parse::render;
use crate::cel::{self, Environment, Type};
use crate::json::Value;
use crate::strategy::field::{At, Errors};
use crate::strategy::names::Names;
use std::collections::BTreeSet;

/// What an expression has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// A bool.
    Bool,
    /// A string.
    Text,
    /// A string or null.
    TextOrNull,
    /// An apply configuration.
    Object,
    /// JSON patch operations.
    Patch,
    /// Anything: a variable.
    Anything,
}

/// Checks one expression; its type if it is fine.
fn expression(errors: &mut Errors, at: &At, env: &Environment, wants: Wants) -> Option<Type> {
    expression_text(errors, at, at.text(), env, wants)
}

/// Checks an expression of which only the middle counts.
fn trimmed(errors: &mut Errors, at: &At, env: &Environment, wants: Wants) {
    expression_text(errors, at, at.text().trim(), env, wants);
}

fn expression_text(
    errors: &mut Errors,
    at: &At,
    text: &str,
    env: &Environment,
    wants: Wants,
) -> Option<Type> {
    if text.trim().is_empty() {
        errors.required(at, "");
        return None;
    }
    let checked = match cel::check(text, env) {
        Ok(checked) => checked,
        Err(issues) => {
            let detail = format!("compilation failed: {}", render(text, &issues));
            errors.invalid_as(at, text, &detail);
            return None;
        }
    };
    let ty = checked.ty().clone();
    let object = |ty: &Type, name: &str| matches!(ty, Type::Object(object) if object.name == name);
    let (fits, wanted) = match wants {
        Wants::Bool => (ty == Type::Bool, "bool"),
        Wants::Text => (ty == Type::String, "string"),
        Wants::TextOrNull => (
            matches!(ty, Type::String | Type::Null),
            "one of [string null_type]",
        ),
        Wants::Object => (object(&ty, "Object"), "Object"),
        Wants::Patch => match &ty {
            Type::List(item) => (
                object(item, "JSONPatch") || **item == Type::Free,
                "list(JSONPatch)",
            ),
            _ => (false, "list(JSONPatch)"),
        },
        Wants::Anything => (true, ""),
    };
    if !fits {
        errors.invalid_as(at, text, &format!("must evaluate to {wanted} but got {ty}"));
        return None;
    }
    Some(ty)
}

/// `matchConditions` of a webhook or policy.
pub(crate) fn match_conditions(errors: &mut Errors, at: &At, params: bool) {
    if at.list().len() > 64 {
        errors.too_many(at, at.list().len(), 64);
    }
    let env = environment(params, true);
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for condition in at.items() {
        trimmed(errors, &condition.field("expression"), &env, Wants::Bool);
        let name = condition.field("name");
        if name.text().is_empty() {
            errors.required(&name, "");
            continue;
        }
        errors.name(&name, Names::Qualified);
        if names.contains(&name.text()) {
            errors.duplicate(&name);
        }
        names.insert(name.text());
    }
}

/// Checks `variables`; the environment that includes them. Without any, an expression knows of none, but for mutations.
pub(crate) fn variables(errors: &mut Errors, at: &At, params: bool, mutating: bool) -> Environment {
    let mut env = environment(params, true);
    if mutating || !at.list().is_empty() {
        declare_variables(&mut env);
    }
    for variable in at.items() {
        let name = variable.field("name");
        let text = name.text();
        if text.trim().is_empty() {
            errors.required(&name, "name is not specified");
        } else if !is_identifier(text) {
            errors.invalid(&name, "must be a valid CEL identifier");
        }
        let value = variable.field("expression");
        let ty = if value.text().trim().is_empty() {
            errors.required(&value, "expression is not specified");
            None
        } else {
            expression(errors, &value, &env, Wants::Anything)
        };
        declare_variable(&mut env, text, ty.unwrap_or(Type::Dyn));
    }
    env
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !cel::schema::is_reserved(text)
}

/// `validations` of a policy.
pub(crate) fn validations(errors: &mut Errors, at: &At, env: &Environment) {
    let messages = without_authorizer(env);
    for validation in at.items() {
        let rule = validation.field("expression");
        if rule.text().trim().is_empty() {
            errors.required(&rule, "expression is not specified");
        } else {
            expression(errors, &rule, env, Wants::Bool);
        }
        let message_expression = validation.field("messageExpression");
        if message_expression.is_set() && !message_expression.text().is_empty() {
            if message_expression.text().trim().is_empty() {
                errors.invalid(&message_expression, "must be non-empty if specified");
            } else {
                expression(errors, &message_expression, &messages, Wants::Text);
            }
        }
        let message = validation.field("message");
        if !message.text().is_empty() {
            if message.text().trim().is_empty() {
                errors.invalid(&message, "must be non-empty if specified");
            } else if message.text().trim().contains(['\n', '\r']) {
                errors.invalid(&message, "must not contain line breaks");
            }
        }
        let reason = validation.field("reason");
        if reason.is_set() {
            errors.one_of(&reason, &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
        }
    }
}

/// How many annotations a policy may give, and how long the expression of one may be.
const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_BYTES_MAX: usize = 5 * 1024;

/// `auditAnnotations` of a policy, whose keys stand below its name.
pub(crate) fn audit_annotations(errors: &mut Errors, at: &At, policy: &str, env: &Environment) {
    if at.list().len() > ANNOTATIONS_MAX {
        let shown = at.items().map(|annotation| {
            let text = |field: &str| Value::from(annotation.field(field).text());
            let (key, value) = (text("key"), text("valueExpression"));
            format!("{{\"Key\":{key},\"ValueExpression\":{value}}}")
        });
        let shown = shown.collect::<Vec<_>>().join(",");
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.invalid_raw(at, &format!("[{shown}]"), &detail);
    }
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    for annotation in at.items() {
        let key = annotation.field("key");
        if policy.is_empty() {
            errors.invalid_as(&key, key.text(), "requires metadata.name be non-empty");
        } else {
            errors.name_as(&key, &format!("{policy}/{}", key.text()), Names::Qualified);
        }
        let value = annotation.field("valueExpression");
        match value.text().trim() {
            "" => errors.required(&value, "valueExpression is not specified"),
            text if text.len() > ANNOTATION_BYTES_MAX => {
                let detail = format!("must not exceed {ANNOTATION_BYTES_MAX} bytes in length");
                errors.required(&value, &detail);
            }
            _ => trimmed(errors, &value, env, Wants::TextOrNull),
        }
        if !keys.insert(key.text()) {
            errors.duplicate_as(&key, key.text());
        }
    }
}

/// `mutations` of a policy.
pub(crate) fn mutations(errors: &mut Errors, at: &At, env: &Environment) {
    let mut env = env.clone();
    env.builds_objects = true;
    for mutation in at.items() {
        let kind = mutation.field("patchType");
        let (own, other, wants) = match kind.text() {
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Wants::Object),
            "JSONPatch" => ("jsonPatch", "applyConfiguration", Wants::Patch),
            "" => {
                errors.required(&kind, "");
                continue;
            }
            _ => {
                errors.one_of(&kind, &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        let given = mutation.field(own);
        if given.is_set() {
            trimmed(errors, &given.field("expression"), &env, wants);
        } else {
            errors.required(
                &given,
                &format!("must be specified when patchType is {}", kind.text()),
            );
        }
        let wrong = mutation.field(other);
        if wrong.is_set() {
            errors.invalid_as(
                &wrong,
                format!("{{{other}}}"),
                &format!("must not be specified when patchType is {}", kind.text()),
            );
        }
    }
}
