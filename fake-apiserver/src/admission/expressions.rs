//! What makes the expressions of a webhook configuration or policy acceptable.
//!
//! Owns their checks; does not own the rest of those objects (`strategy`).
//! Behaviour: `pkg/apis/admissionregistration/validation`, apiserver
//! `admission/plugin/cel/compile.go` (AD7, AD7a, AD14).

use super::conditions::environment;
use super::policy_source::{declare_variable, declare_variables};
use crate::cel::parse::render;
use crate::cel::{self, Environment, Type};
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
    let text = at.text();
    if text.trim().is_empty() {
        errors.required(at, "");
        return None;
    }
    let checked = match cel::check(text, env) {
        Ok(checked) => checked,
        Err(issues) => {
            errors.invalid(
                at,
                &format!("compilation failed: {}", render(text, &issues)),
            );
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
        errors.invalid(at, &format!("must evaluate to {wanted} but got {ty}"));
        return None;
    }
    Some(ty)
}

/// `matchConditions` of a webhook or policy.
pub(crate) fn match_conditions(errors: &mut Errors, at: &At, params: bool) {
    if at.list().len() > 64 {
        errors.too_many(at, at.list().len(), 64);
    }
    let env = environment(params, false);
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for condition in at.items() {
        expression(errors, &condition.field("expression"), &env, Wants::Bool);
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

/// Checks `variables`; the environment that includes them.
pub(crate) fn variables(errors: &mut Errors, at: &At, params: bool) -> Environment {
    let mut env = environment(params, true);
    let mut names = BTreeSet::new();
    declare_variables(&mut env);
    for variable in at.items() {
        let name = variable.field("name");
        let text = name.text();
        if text.is_empty() {
            errors.required(&name, "name is not specified");
        } else if !is_identifier(text) {
            errors.invalid(&name, "must be a valid CEL identifier");
        }
        if !names.insert(text.to_owned()) {
            errors.duplicate(&name);
        }
        let value = variable.field("expression");
        if value.text().trim().is_empty() {
            errors.required(&value, "expression is not specified");
        }
        let ty = match value.text().trim() {
            "" => None,
            _ => expression(errors, &value, &env, Wants::Anything),
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
}

/// `validations` of a policy.
pub(crate) fn validations(errors: &mut Errors, at: &At, env: &Environment) {
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
                expression(errors, &message_expression, env, Wants::Text);
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

/// `auditAnnotations` of a policy.
pub(crate) fn audit_annotations(errors: &mut Errors, at: &At, env: &Environment) {
    for annotation in at.items() {
        let key = annotation.field("key");
        if key.text().is_empty() {
            errors.required(&key, "");
        } else {
            errors.name(&key, Names::Qualified);
        }
        let value = annotation.field("valueExpression");
        expression(errors, &value, env, Wants::TextOrNull);
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
            expression(errors, &given.field("expression"), &env, wants);
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
