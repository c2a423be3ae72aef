//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy.
//!
//! Owns their evaluation and their answers. Policies are taken in order of names, which a
//! real server does not promise. Audit annotations have no effect here.
//! Behaviour: apiserver `admission/plugin/policy/{validating,mutating}` (AD7, AD7a).

use super::conditions::{Input, Scope, Verdict, failed, judge, request_declaration};
use super::matching::{self, Seen, converted};
use super::policy_params::collect;
use super::policy_source::{Policy, constrained, mutation_text, objects};
use super::reinvocation::Reinvocation;
use super::{Attributes, json_patch};
use crate::cel::{self, Checked, Failure, Val};
use crate::json::Value;
use crate::registry::Resource;
use crate::schema;
use crate::server::{Halt, Session, schema_of};
use crate::status::{Cause, Status, go_quote};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// What the expressions of one policy may spend.
const POLICY_BUDGET: u64 = 10_000_000;
/// What one expression may spend.
const CALL_BUDGET: u64 = 1_000_000;

/// How deep a variable's expression may stand within others, a bound on the stack.
const DEPTH_MAX: usize = 300;

/// Runs an expression of a policy; its variables are computed when first used, once.
struct Runner<'v> {
    policy: &'v Policy,
    input: &'v Input,
    params: Option<&'v Value>,
    computed: RefCell<BTreeMap<String, Result<Val<'v>, Failure>>>,
    budget: Cell<u64>,
    /// How deep expressions are nested in those that use them.
    depth: Cell<usize>,
    decl: &'v cel::Decl,
}

impl<'v> Runner<'v> {
    fn run(&self, s: &Session<'_>, checked: &Checked) -> Result<Val<'v>, Failure> {
        let grants = super::grants(s);
        let variables = |name: &str| self.variable(s, name);
        let scope = Scope {
            input: self.input,
            params: self.params,
            variables: &variables,
            grants: &grants,
            request_decl: self.decl,
        };
        let limit = self.budget.get().min(CALL_BUDGET);
        let outcome = cel::evaluate(checked, &scope, limit);
        self.budget
            .set(self.budget.get().saturating_sub(outcome.cost));
        outcome.value
    }

    /// Runs the expression of a variable from within another expression.
    fn nested(&self, s: &Session<'_>, checked: &Checked) -> Result<Val<'v>, Failure> {
        let depth = self.depth.get();
        if depth + checked.depth > DEPTH_MAX {
            return Err(Failure::Message(
                "variables refer to variables too deeply".to_owned(),
            ));
        }
        self.depth.set(depth + checked.depth + 1);
        let value = self.run(s, checked);
        self.depth.set(depth);
        value
    }

    fn variable(&self, s: &Session<'_>, name: &str) -> Option<Result<Val<'v>, Failure>> {
        if let Some(known) = self.computed.borrow().get(name) {
            return Some(known.clone());
        }
        let (_, checked) = self.policy.variables.iter().find(|(n, _)| n == name)?;
        let value = match checked {
            Some(checked) => self.nested(s, checked),
            None => Err(Failure::Message(format!("no such key: {name}"))),
        };
        let value = value.map_err(|error| {
            Failure::Message(format!(
                "composited variable {} fails to evaluate: {}",
                go_quote(name),
                error.text()
            ))
        });
        self.computed
            .borrow_mut()
            .insert(name.to_owned(), value.clone());
        Some(value)
    }
}

/// Whether the policy's match conditions let it see the request.
fn conditions(s: &Session<'_>, runner: &Runner<'_>) -> Verdict {
    let grants = super::grants(s);
    let scope = Scope {
        input: runner.input,
        params: runner.params,
        variables: &super::conditions::no_variables,
        grants: &grants,
        request_decl: runner.decl,
    };
    judge(&runner.policy.conditions, &scope)
}

/// One denial, before it is told.
struct Denial {
    message: String,
    reason: String,
}

/// Evaluates all validating policies.
pub(super) fn validate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), Halt> {
    if matching::excluded(attributes.row) {
        return Ok(());
    }
    let bindings = objects(s, "validatingadmissionpolicybindings");
    if bindings.is_empty() {
        return Ok(());
    }
    for source in objects(s, "validatingadmissionpolicies") {
        let name = source.str_at(&["metadata", "name"]);
        let own: Vec<&Value> = bindings
            .iter()
            .filter(|binding| binding.str_at(&["spec", "policyName"]) == name)
            .collect();
        let Some(seen) = constrained(s, attributes, object, &source["spec"]["matchConstraints"])
        else {
            continue;
        };
        if own.is_empty() {
            continue;
        }
        let policy = Policy::of(&source);
        for binding in own {
            if binds(s, attributes, object, binding) {
                validate_binding(s, attributes, object, &policy, &seen, binding)?;
            }
        }
    }
    Ok(())
}

fn binds(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    binding: &Value,
) -> bool {
    match binding.at(&["spec", "matchResources"]) {
        Some(resources) if resources.is_object() => {
            constrained(s, attributes, object, resources).is_some()
        }
        _ => true,
    }
}

fn validate_binding(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    policy: &Policy,
    seen: &Seen,
    binding: &Value,
) -> Result<(), Halt> {
    let binding_name = binding.str_at(&["metadata", "name"]).to_owned();
    let mut denials = Vec::new();
    match collect(s, attributes, &policy.spec, &binding["spec"]) {
        Err(message) if policy.ignores_failures() => drop(message),
        Err(message) => denials.push(Denial {
            message,
            reason: String::new(),
        }),
        Ok(params) => {
            let input = Input::new(s, attributes, seen, object)?;
            let decl = request_declaration();
            for params in &params {
                let runner = Runner {
                    policy,
                    input: &input,
                    params: params.as_ref(),
                    computed: RefCell::default(),
                    depth: Cell::new(0),
                    budget: Cell::new(POLICY_BUDGET),
                    decl: &decl,
                };
                denials.extend(first_denial(s, &runner));
            }
        }
    }
    let actions: Vec<&str> = binding
        .array_at(&["spec", "validationActions"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for denial in denials {
        if actions.contains(&"Warn") {
            s.warn(format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{binding_name}': {}",
                policy.name, denial.message
            ));
        }
        if actions.contains(&"Deny") {
            let message = format!(
                "ValidatingAdmissionPolicy '{}' with binding '{binding_name}' denied request: {}",
                policy.name, denial.message
            );
            return Err(refuse(attributes, object, &message, &denial.reason).into());
        }
    }
    Ok(())
}

/// The first validation that fails.
fn first_denial(s: &Session<'_>, runner: &Runner<'_>) -> Option<Denial> {
    let policy = runner.policy;
    let error = |message: String| {
        (!policy.ignores_failures()).then_some(Denial {
            message,
            reason: String::new(),
        })
    };
    match conditions(s, runner) {
        Verdict::Match => {}
        Verdict::Skip => return None,
        Verdict::Failed(message) => return error(message),
    }
    let validations = policy.spec.array_at(&["validations"]).iter();
    for (validation, (checked, message)) in validations.zip(&policy.validations) {
        let text = validation.str_at(&["expression"]);
        let value = match checked {
            Some(checked) => runner.run(s, checked),
            None => Err(Failure::Message("compilation failed".to_owned())),
        };
        match value {
            Ok(Val::Bool(true)) => {}
            Ok(_) => {
                return Some(Denial {
                    message: told(s, runner, validation, message.as_ref()),
                    reason: validation.str_at(&["reason"]).to_owned(),
                });
            }
            Err(why) => {
                if let Some(denial) = error(failed(text, &why.text())) {
                    return Some(denial);
                }
            }
        }
    }
    None
}

fn told(
    s: &Session<'_>,
    runner: &Runner<'_>,
    validation: &Value,
    expression: Option<&Checked>,
) -> String {
    if let Some(checked) = expression
        && let Ok(Val::String(text)) = runner.run(s, checked)
    {
        let text = text.trim();
        if !text.is_empty() && !text.contains(['\n', '\r']) {
            return text.to_owned();
        }
    }
    match validation.str_at(&["message"]).trim() {
        "" => format!(
            "failed expression: {}",
            validation.str_at(&["expression"]).trim()
        ),
        text => text.to_owned(),
    }
}

fn refuse(
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    message: &str,
    reason: &str,
) -> Status {
    let mut status = super::forbidden(attributes, object, message);
    let (code, reason) = match reason {
        "Forbidden" => (403, "Forbidden"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        "Unauthorized" => (401, "Unauthorized"),
        _ => (422, "Invalid"),
    };
    status.code = code;
    status.reason = reason.into();
    status.details_mut().causes.push(cause(message));
    status
}

fn cause(message: &str) -> Cause {
    Cause {
        message: message.to_owned(),
        ..Cause::default()
    }
}

/// Runs all mutating policies. True if the object was changed.
pub(super) fn mutate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
    state: &mut Reinvocation,
    again: bool,
) -> Result<bool, Halt> {
    if matching::excluded(attributes.row) || !matches!(attributes.operation, "CREATE" | "UPDATE") {
        return Ok(false);
    }
    let bindings = objects(s, "mutatingadmissionpolicybindings");
    if bindings.is_empty() {
        return Ok(false);
    }
    if again {
        state.begin_again(object);
    }
    let mut any = false;
    for source in objects(s, "mutatingadmissionpolicies") {
        let name = source.str_at(&["metadata", "name"]).to_owned();
        let own = bindings
            .iter()
            .filter(|binding| binding.str_at(&["spec", "policyName"]) == name);
        let mut compiled = None;
        for binding in own {
            let constraints = &source["spec"]["matchConstraints"];
            let Some(seen) = constrained(s, attributes, Some(object), constraints) else {
                continue;
            };
            if !binds(s, attributes, Some(object), binding) {
                continue;
            }
            let id = format!("{name}/{}", binding.str_at(&["metadata", "name"]));
            if again && !state.may_repeat(&id) {
                continue;
            }
            let policy = compiled.get_or_insert_with(|| Policy::of(&source));
            let changed = mutate_binding(s, attributes, object, policy, &seen, binding)?;
            any |= changed;
            if changed {
                state.changed();
            }
            if source.str_at(&["spec", "reinvocationPolicy"]) == "IfNeeded" {
                state.invoked(&id);
            }
        }
    }
    state.end(object);
    Ok(any)
}

fn mutate_binding(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
    policy: &Policy,
    seen: &Seen,
    binding: &Value,
) -> Result<bool, Halt> {
    let refused = |message: &str, reason: &'static str| {
        let message = format!(
            "policy '{}' with binding '{}' denied request: {message}",
            policy.name,
            binding.str_at(&["metadata", "name"])
        );
        let mut status = super::forbidden(attributes, None, &message);
        status.message.clone_from(&message);
        status.reason = reason.into();
        status.details_mut().causes.push(cause(&message));
        Halt::from(status)
    };
    let params = match collect(s, attributes, &policy.spec, &binding["spec"]) {
        Ok(params) => params,
        Err(_) if policy.ignores_failures() => return Ok(false),
        Err(message) => return Err(refused(&message, "Forbidden")),
    };
    let before = object.clone();
    for params in &params {
        let mutations = policy.spec.array_at(&["mutations"]).iter();
        for (i, mutation) in mutations.zip(&policy.mutations).enumerate() {
            let input = Input::new(s, attributes, seen, Some(object))?;
            let patched = converted(s, object, attributes.row, &seen.row)?;
            let first = i == 0;
            let result = mutated(
                s,
                &input,
                policy,
                seen,
                params.as_ref(),
                mutation,
                patched,
                first,
            );
            match result {
                Mutated::Skip => break,
                Mutated::Patched(patched, unknown) => {
                    if !unknown.is_empty() {
                        let why = format!("strict decoding error: {}", unknown.join(", "));
                        return Err(Status::internal(why).into());
                    }
                    let back = converted(s, &patched, &seen.row, attributes.row)?;
                    *object = super::accept(s, attributes, back)?;
                }
                Mutated::Failed(_) if policy.ignores_failures() => {}
                Mutated::Unmatched(_) if policy.ignores_failures() => break,
                Mutated::Failed(message) | Mutated::Unmatched(message) => {
                    return Err(refused(&message, "Invalid"));
                }
            }
        }
    }
    Ok(before != *object)
}

/// What became of one mutation.
enum Mutated {
    /// The policy does not apply here.
    Skip,
    /// A match condition failed.
    Unmatched(String),
    /// The mutation failed.
    Failed(String),
    /// The patched object, and the errors about fields that its type does not know.
    Patched(Value, Vec<String>),
}

/// One mutation; the policy's conditions are asked before the first.
#[expect(clippy::too_many_arguments, reason = "what one mutation depends on")]
fn mutated(
    s: &Session<'_>,
    input: &Input,
    policy: &Policy,
    seen: &Seen,
    params: Option<&Value>,
    (mutation, checked): (&Value, &Option<Checked>),
    mut patched: Value,
    first: bool,
) -> Mutated {
    let decl = request_declaration();
    let runner = Runner {
        policy,
        input,
        params,
        computed: RefCell::default(),
        budget: Cell::new(POLICY_BUDGET),
        depth: Cell::new(0),
        decl: &decl,
    };
    if first {
        match conditions(s, &runner) {
            Verdict::Match => {}
            Verdict::Skip => return Mutated::Skip,
            Verdict::Failed(message) => return Mutated::Unmatched(message),
        }
    }
    let text = mutation_text(mutation);
    let Some(checked) = checked else {
        return Mutated::Failed(failed(text, "compilation failed"));
    };
    let value = match runner.run(s, checked) {
        Ok(value) => value,
        Err(why) => return Mutated::Failed(failed(text, &why.text())),
    };
    let done = if mutation.str_at(&["patchType"]) == "JSONPatch" {
        patch(&seen.row, &mut patched, &value)
    } else {
        apply_configuration(&seen.row, &mut patched, &value).map(|()| Vec::new())
    };
    match done {
        Ok(unknown) => Mutated::Patched(patched, unknown),
        Err(message) => Mutated::Failed(message),
    }
}

/// Performs JSON patch operations. A failed test leaves the object as it is, and is no failure.
fn patch(row: &Resource, object: &mut Value, operations: &Val<'_>) -> Result<Vec<String>, String> {
    const NO_JSON: &str =
        "JSONPath valueExpression evaluated to a type that could not marshal to JSON";
    let Val::List(list) = operations else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut performed = Vec::with_capacity(list.len());
    for operation in list.iter() {
        let Val::Object(_, fields) = &operation else {
            continue;
        };
        let mut shown = crate::json!({"op": "", "path": ""});
        for (name, value) in fields.iter() {
            if let Val::Object(kind, _) = value
                && let Some(wrong) = value.type_mismatch(kind)
            {
                return Err(format!("type mismatch: {wrong}"));
            }
            let value = value.to_json().ok_or(NO_JSON)?;
            if !(&**name == "from" && value == "") {
                shown[&**name] = value;
            }
        }
        performed.push(shown);
    }
    let mut patched = object.clone();
    match json_patch::apply(&mut patched, &performed) {
        Ok(()) => {}
        Err(error) if error.ends_with(": test failed") => return Ok(Vec::new()),
        Err(error) => return Err(format!("JSON Patch: {error}")),
    }
    *object = patched;
    // What does not decode at all is told when the object is taken over.
    let decoded = row
        .schema
        .map(|schema| schema::decode(schema, object.clone()));
    let unknown = decoded.and_then(Result::ok).map(|decoded| decoded.unknown);
    let unknown = unknown.into_iter().flatten();
    Ok(unknown
        .map(|path| format!("unknown field {}", go_quote(&path)))
        .collect())
}

/// Merges an apply configuration.
fn apply_configuration(row: &Resource, object: &mut Value, value: &Val<'_>) -> Result<(), String> {
    if let Some(wrong) = value.type_mismatch("Object") {
        return Err(format!("type mismatch: {wrong}"));
    }
    let configuration = value.to_json().ok_or("unsupported value")?;
    crate::apply::merge_configuration(schema_of(row), object, configuration)
        .map_err(|error| format!("error applying patch: {error}"))
}
