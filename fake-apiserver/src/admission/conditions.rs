//! The expressions of admission: their variables, match conditions.
//!
//! Owns the environment in which webhooks' and policies' expressions run.
//! Behaviour: apiserver `admission/plugin/cel`, `admission/plugin/webhook/matchconditions` (AD2g).

use super::Attributes;
use super::matching::{self, Seen};
use super::review;
use crate::auth::{self, rbac};
use crate::cel::value::{Check, Decision, Opaque};
use crate::cel::{self, Bindings, Checked, Decl, Environment, Failure, Type, Val};
use crate::json::Value;
use crate::request::User;
use crate::server::{Halt, Session};
use std::sync::Arc;

/// What the match conditions of one hook or policy may spend.
const MATCH_BUDGET: u64 = 2_500_000;

/// Whether match conditions let a hook or policy see the request.
pub(super) enum Verdict {
    /// All are true.
    Match,
    /// One is false.
    Skip,
    /// None is false and some failed; the error, as answers word it.
    Failed(String),
}

/// The variables of every expression of admission; messages cannot ask the authorizer.
pub(super) fn environment(params: bool, authorizer: bool) -> Environment {
    let any = || Decl::of(Type::Dyn);
    let mut variables = vec![
        ("object", any()),
        ("oldObject", any()),
        ("request", request_decl()),
        ("namespaceObject", namespace_decl()),
    ];
    if authorizer {
        variables.push(("authorizer", Decl::of(cel::AUTHORIZER)));
    }
    if params {
        variables.push(("params", any()));
    }
    Environment::with(variables)
}

fn namespace_decl() -> Arc<Decl> {
    let text = || Decl::of(Type::String);
    let (time, number) = (|| Decl::of(Type::Timestamp), || Decl::of(Type::Int));
    let condition = Decl::object(
        "kubernetes.NamespaceCondition",
        vec![
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", time()),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let metadata = Decl::object(
        "kubernetes.NamespaceMetadata",
        vec![
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", Decl::map(text())),
            ("annotations", Decl::map(text())),
            ("UID", text()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", number()),
            ("deletionTimestamp", time()),
            ("generation", number()),
            ("resourceVersion", text()),
            ("finalizers", Decl::list(text())),
        ],
    );
    let spec = vec![("finalizers", Decl::list(text()))];
    let status = vec![("conditions", Decl::list(condition)), ("phase", text())];
    Decl::object(
        "kubernetes.Namespace",
        vec![
            ("metadata", metadata),
            ("spec", Decl::object("kubernetes.NamespaceSpec", spec)),
            ("status", Decl::object("kubernetes.NamespaceStatus", status)),
        ],
    )
}

fn request_decl() -> Arc<Decl> {
    let text = || Decl::of(Type::String);
    let triple = |name: &str, last: &str| {
        Decl::object(
            name,
            vec![("group", text()), ("version", text()), (last, text())],
        )
    };
    let user = Decl::object(
        "kubernetes.UserInfo",
        vec![
            ("username", text()),
            ("uid", text()),
            ("groups", Decl::list(text())),
            ("extra", Decl::map(Decl::list(text()))),
        ],
    );
    Decl::object(
        "kubernetes.AdmissionRequest",
        vec![
            ("kind", triple("kubernetes.GroupVersionKind", "kind")),
            (
                "resource",
                triple("kubernetes.GroupVersionResource", "resource"),
            ),
            ("subResource", text()),
            ("requestKind", triple("kubernetes.GroupVersionKind", "kind")),
            (
                "requestResource",
                triple("kubernetes.GroupVersionResource", "resource"),
            ),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Decl::of(Type::Bool)),
            ("options", Decl::of(Type::Dyn)),
        ],
    )
}

/// The values of one evaluation.
pub(super) struct Input {
    pub(super) object: Value,
    pub(super) old: Value,
    pub(super) request: Value,
    pub(super) namespace: Value,
    check: Check,
    user: User,
}

impl Input {
    /// What expressions see of a request in the version of `seen`.
    pub(super) fn new(
        s: &mut Session<'_>,
        attributes: &Attributes<'_>,
        seen: &Seen,
        object: Option<&Value>,
    ) -> Result<Input, Halt> {
        let row = attributes.row;
        let object = matching::seen(s, attributes, object, &seen.row)?;
        let old = matching::seen(s, attributes, attributes.old, &seen.row)?;
        let mut request = review::request(attributes, &seen.row, &s.user, "", None, None);
        if let Some(map) = request.as_object_mut() {
            map.remove("uid");
            map.remove("object");
            map.remove("oldObject");
        }
        let namespace = match attributes.namespace {
            "" => Value::Null,
            name => matching::namespace(s, name).unwrap_or_default(),
        };
        let check = Check {
            group: row.group.to_string(),
            resource: row.plural.to_string(),
            subresource: attributes.subresource.to_owned(),
            namespace: attributes.namespace.to_owned(),
            name: attributes.name.to_owned(),
            ..Check::default()
        };
        Ok(Input {
            object: object.unwrap_or_default(),
            old: old.unwrap_or_default(),
            request,
            namespace,
            check,
            user: User::clone(&s.user),
        })
    }
}

/// One expression's bindings: the input, params, and variables computed when first used.
pub(super) struct Scope<'v, 's> {
    pub(super) input: &'v Input,
    pub(super) params: Option<&'v Value>,
    pub(super) variables: &'s dyn Fn(&str) -> Option<Result<Val<'v>, Failure>>,
    pub(super) grants: &'s dyn rbac::Grants,
    pub(super) request_decl: &'v Decl,
}

impl<'v> Bindings<'v> for Scope<'v, '_> {
    fn variable(&self, name: &str) -> Option<Val<'v>> {
        Some(match name {
            "object" => Val::of(&self.input.object, None),
            "oldObject" => Val::of(&self.input.old, None),
            "request" => Val::of(&self.input.request, Some(self.request_decl)),
            "namespaceObject" => Val::of(&self.input.namespace, None),
            "params" => match self.params {
                Some(params) => Val::of(params, None),
                None => Val::Null,
            },
            "authorizer" => Val::opaque(Opaque::Check(Check::default())),
            _ => return None,
        })
    }

    fn member(&self, variable: &str, field: &str) -> Option<Result<Val<'v>, Failure>> {
        match (variable, field) {
            ("authorizer", "requestResource") => {
                let check = self.input.check.clone();
                Some(Ok(Val::opaque(Opaque::Check(check))))
            }
            ("variables", name) => (self.variables)(name),
            _ => None,
        }
    }

    fn authorize(&self, check: &Check, verb: &str) -> Decision {
        let user = match &check.service_account {
            None => self.input.user.clone(),
            Some((namespace, name)) => {
                let name = format!("system:serviceaccount:{namespace}:{name}");
                auth::with_default_groups(User {
                    groups: auth::service_account_groups(&name).unwrap_or_default(),
                    name,
                    ..User::default()
                })
            }
        };
        let attributes = auth::Attributes {
            is_resource: check.path.is_none(),
            verb: verb.to_owned(),
            group: check.group.clone(),
            version: "*".to_owned(),
            resource: check.resource.clone(),
            subresource: check.subresource.clone(),
            namespace: check.namespace.clone(),
            name: check.name.clone(),
            path: check.path.clone().unwrap_or_default(),
        };
        let decision = rbac::decide(&user, &attributes, self.grants);
        Decision {
            allowed: decision.allowed,
            reason: decision.reason,
        }
    }
}

/// No variables.
pub(super) fn no_variables<'v>(_: &str) -> Option<Result<Val<'v>, Failure>> {
    None
}

/// Checks an expression; those stored have been checked before.
pub(super) fn compile(text: &str, env: &Environment) -> Option<Checked> {
    cel::check(text, env).ok()
}

/// Evaluates the match conditions of a webhook.
pub(super) fn decide(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    seen: &Seen,
    object: Option<&Value>,
    list: &[Value],
) -> Result<Verdict, Halt> {
    let input = Input::new(s, attributes, seen, object)?;
    let env = environment(false, true);
    let grants = super::grants(s);
    let decl = request_decl();
    let scope = Scope {
        input: &input,
        params: None,
        variables: &no_variables,
        grants: &grants,
        request_decl: &decl,
    };
    let expressions: Vec<(String, Option<Checked>)> = list
        .iter()
        .map(|condition| {
            let text = condition.str_at(&["expression"]).to_owned();
            let checked = compile(&text, &env);
            (text, checked)
        })
        .collect();
    Ok(judge(&expressions, &scope))
}

/// All true, one false, or failed.
pub(super) fn judge(expressions: &[(String, Option<Checked>)], scope: &Scope<'_, '_>) -> Verdict {
    let mut left = MATCH_BUDGET;
    let mut errors = Vec::new();
    for (text, checked) in expressions {
        let Some(checked) = checked else {
            errors.push(failed(text, "compilation failed"));
            continue;
        };
        let outcome = cel::evaluate(checked, scope, left);
        left = left.saturating_sub(outcome.cost);
        match outcome.value {
            Ok(Val::Bool(true)) => {}
            Ok(_) => return Verdict::Skip,
            Err(error) => errors.push(failed(text, &error.text())),
        }
    }
    match errors.len() {
        0 => Verdict::Match,
        1 => Verdict::Failed(errors.remove(0)),
        _ => Verdict::Failed(format!("[{}]", errors.join(", "))),
    }
}

/// The words of an expression that failed.
pub(super) fn failed(text: &str, error: &str) -> String {
    format!("expression '{text}' resulted in error: {error}")
}

/// The type of `request`.
pub(super) fn request_declaration() -> Arc<Decl> {
    request_decl()
}
