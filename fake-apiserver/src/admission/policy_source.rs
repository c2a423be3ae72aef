//! Admission policies and bindings as compiled from their objects.
//!
//! Behaviour: apiserver `admission/plugin/policy/{generic,validating,mutating}`.

use super::Attributes;
use super::conditions::{compile, environment};
use super::matching::{self, Seen};
use crate::cel::check::COMPOSED;
use crate::cel::{Checked, Decl, Environment, Type};
use crate::json::{self, Value};
use crate::server::Session;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A policy, compiled.
pub(super) struct Policy {
    /// Its name.
    pub(super) name: String,
    /// Its `spec`.
    pub(super) spec: Value,
    /// Match conditions.
    pub(super) conditions: Vec<(String, Option<Checked>)>,
    /// Variables by name, in order.
    pub(super) variables: Vec<(String, Option<Checked>)>,
    /// Expression and message expression of each validation.
    pub(super) validations: Vec<(Option<Checked>, Option<Checked>)>,
    /// The expression of each mutation.
    pub(super) mutations: Vec<Option<Checked>>,
}

/// How many compiled policies are kept.
const KEPT_MAX: usize = 64;

thread_local! {
    /// Policies by their text. Compiling is a pure function, so a memory of it cannot be seen.
    static COMPILED: RefCell<BTreeMap<String, Rc<Policy>>> = const { RefCell::new(BTreeMap::new()) };
}

impl Policy {
    /// The compiled form of a policy.
    pub(super) fn of(object: &Value) -> Rc<Policy> {
        let name = object.str_at(&["metadata", "name"]);
        let text = format!("{name} {}", json::to_string(&object["spec"]));
        if let Some(known) = COMPILED.with_borrow(|kept| kept.get(&text).cloned()) {
            return known;
        }
        let policy = Rc::new(Policy::compile(object));
        COMPILED.with_borrow_mut(|kept| {
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(text, policy.clone());
        });
        policy
    }

    fn compile(object: &Value) -> Policy {
        let spec = object["spec"].clone();
        let params = spec.get("paramKind").is_some_and(Value::is_object);
        let conditions_env = environment(params, true);
        let conditions = spec
            .array_at(&["matchConditions"])
            .iter()
            .map(|condition| {
                let text = condition.str_at(&["expression"]).to_owned();
                let checked = compile(&text, &conditions_env);
                (text, checked)
            })
            .collect();
        let mut env = environment(params, true);
        let mut variables = Vec::new();
        declare_variables(&mut env);
        for variable in spec.array_at(&["variables"]) {
            let name = variable.str_at(&["name"]).to_owned();
            let text = variable.str_at(&["expression"]).to_owned();
            let checked = compile(&text, &env);
            let ty = checked
                .as_ref()
                .map_or(Type::Dyn, |checked| checked.ty().clone());
            declare_variable(&mut env, &name, ty);
            variables.push((name, checked));
        }
        let expression = |item: &Value, field: &str, env: &Environment| match item.str_at(&[field])
        {
            "" => None,
            text => compile(text, env),
        };
        let messages = without_authorizer(&env);
        let validations = spec.array_at(&["validations"]).iter();
        let validations = validations
            .map(|item| {
                let message = expression(item, "messageExpression", &messages);
                (expression(item, "expression", &env), message)
            })
            .collect();
        let mut building = env.clone();
        building.builds_objects = true;
        let mutations = spec.array_at(&["mutations"]).iter();
        let mutations = mutations
            .map(|item| compile(mutation_text(item), &building))
            .collect();
        Policy {
            name: object.str_at(&["metadata", "name"]).to_owned(),
            spec,
            conditions,
            variables,
            validations,
            mutations,
        }
    }

    /// True if errors let the request pass.
    pub(super) fn ignores_failures(&self) -> bool {
        self.spec.str_at(&["failurePolicy"]) == "Ignore"
    }
}

/// The expression of a mutation.
pub(super) fn mutation_text(mutation: &Value) -> &str {
    match mutation.str_at(&["patchType"]) {
        "JSONPatch" => mutation.str_at(&["jsonPatch", "expression"]),
        _ => mutation.str_at(&["applyConfiguration", "expression"]),
    }
}

/// The environment of messages.
pub(super) fn without_authorizer(env: &Environment) -> Environment {
    let mut env = env.clone();
    env.variables.remove("authorizer");
    env
}

/// Declares `variables`, which has no fields yet.
pub(super) fn declare_variables(env: &mut Environment) {
    let decl = Decl::object(COMPOSED, Vec::new());
    env.variables.insert("variables".to_owned(), decl);
}

/// Declares one more field of `variables`.
pub(super) fn declare_variable(env: &mut Environment, name: &str, ty: Type) {
    env.members.insert(name.to_owned(), ty);
}

/// All objects of a policy kind, by name.
pub(super) fn objects(s: &Session<'_>, plural: &str) -> Vec<Value> {
    let Some(row) = s
        .core
        .registry
        .find("admissionregistration.k8s.io", "v1", plural)
    else {
        return Vec::new();
    };
    let stored = s.core.store.objects(row.id);
    stored.map(|(_, object)| object.value().clone()).collect()
}

/// Where a policy's or binding's constraints see the request; `None` if they do not.
pub(super) fn constrained(
    s: &Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    constraints: &Value,
) -> Option<Seen> {
    if !matching::namespace_matches(s, attributes, object, constraints.get("namespaceSelector"))
        || !matching::object_matches(attributes.old, object, constraints.get("objectSelector"))
    {
        return None;
    }
    let policy = constraints.str_at(&["matchPolicy"]);
    let excluded = named(constraints.array_at(&["excludeResourceRules"]), attributes);
    if matching::matching_row(s, attributes, &excluded, policy).is_some() {
        return None;
    }
    let rules = constraints.array_at(&["resourceRules"]);
    if rules.is_empty() {
        return Some(Seen {
            row: attributes.row.clone(),
        });
    }
    let rules = named(rules, attributes);
    matching::matching_row(s, attributes, &rules, policy)
}

/// Rules without those that name other objects.
fn named(rules: &[Value], attributes: &Attributes<'_>) -> Vec<Value> {
    let fits = |rule: &&Value| {
        let names = rule.array_at(&["resourceNames"]);
        names.is_empty() || names.iter().any(|name| *name == attributes.name)
    };
    rules.iter().filter(fits).cloned().collect()
}
