//! The review kinds: created, answered, never stored.
//!
//! Behaviour: `pkg/registry/{authorization,authentication}` (O5).

use super::rbac::{Attributes, Grants, all_powerful, decide, visit_rules};
use super::with_default_groups;
use crate::json;
use crate::json::{Map, Value};
use crate::request::User;
use crate::status::{Cause, Status};
use std::ops::ControlFlow;

/// Answers a review that passed admission: the object with its status.
/// `tokens` tells whose a token is.
pub fn answer<'t>(
    kind: &str,
    namespace: &str,
    mut object: Value,
    user: &User,
    grants: &dyn Grants,
    tokens: impl Fn(&str) -> Option<&'t User>,
) -> Result<Value, Status> {
    let status = match kind {
        "SelfSubjectReview" => json!({"userInfo": user_info(user)}),
        "TokenReview" => token(&object, tokens)?,
        "SelfSubjectRulesReview" => rules(&object, user, grants)?,
        "SelfSubjectAccessReview" => {
            require(kind, &object, spec_causes(&object, false))?;
            access(user, &object, grants)
        }
        "SubjectAccessReview" => {
            require(kind, &object, spec_causes(&object, true))?;
            access(&subject(&object), &object, grants)
        }
        "LocalSubjectAccessReview" => {
            let asked = object.str_at(&["spec", "resourceAttributes", "namespace"]);
            let mut causes = spec_causes(&object, true);
            if asked != namespace {
                causes.push(Cause::invalid(
                    "spec.resourceAttributes.namespace",
                    &Value::from(asked),
                    "must match metadata.namespace",
                ));
            }
            require(kind, &object, causes)?;
            access(&subject(&object), &object, grants)
        }
        _ => return Ok(object),
    };
    object.set(&["status"], status);
    Ok(object)
}

fn require(kind: &str, object: &Value, causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    let name = object.str_at(&["metadata", "name"]);
    // These kinds are validated without their kind: the message begins with a dot.
    let _ = kind;
    Err(Status::invalid("authorization.k8s.io", "", name, causes))
}

fn spec_causes(object: &Value, of_subject: bool) -> Vec<Cause> {
    let spec = &object["spec"];
    let (resource, path) = (
        spec.get("resourceAttributes"),
        spec.get("nonResourceAttributes"),
    );
    let mut causes = Vec::new();
    match (resource, path) {
        (Some(_), Some(_)) => causes.push(Cause::invalid(
            "spec.nonResourceAttributes",
            &Value::from("cannot be specified in combination with resourceAttributes"),
            "",
        )),
        (None, None) => causes.push(Cause::invalid(
            "spec.resourceAttributes",
            &Value::from(
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
            "",
        )),
        _ => {}
    }
    if of_subject && spec.str_at(&["user"]).is_empty() && spec.array_at(&["groups"]).is_empty() {
        causes.push(Cause::invalid(
            "spec.user",
            &Value::from(""),
            "at least one of user or group must be specified",
        ));
    }
    causes
}

fn subject(object: &Value) -> User {
    let spec = &object["spec"];
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect()
    };
    User {
        name: spec.str_at(&["user"]).to_owned(),
        uid: spec.str_at(&["uid"]).to_owned(),
        groups: texts(&spec["groups"]),
        extra: spec
            .get("extra")
            .and_then(Value::as_object)
            .map(|extra| {
                let pairs = extra.iter();
                pairs
                    .map(|(key, value)| (key.to_owned(), texts(value)))
                    .collect()
            })
            .unwrap_or_default(),
    }
}

fn access(user: &User, object: &Value, grants: &dyn Grants) -> Value {
    let spec = &object["spec"];
    let attributes = match spec.get("nonResourceAttributes") {
        Some(path) => Attributes {
            verb: path.str_at(&["verb"]).to_owned(),
            path: path.str_at(&["path"]).to_owned(),
            ..Attributes::default()
        },
        None => {
            let field = |name: &str| spec.str_at(&["resourceAttributes", name]).to_owned();
            Attributes {
                is_resource: true,
                verb: field("verb"),
                group: field("group"),
                version: field("version"),
                resource: field("resource"),
                subresource: field("subresource"),
                namespace: field("namespace"),
                name: field("name"),
                path: String::new(),
            }
        }
    };
    let decision = decide(user, &attributes, grants);
    let mut status = Map::new();
    status.insert("allowed", decision.allowed);
    if !decision.reason.is_empty() {
        status.insert("reason", decision.reason);
    }
    Value::Object(status)
}

fn token<'t>(object: &Value, tokens: impl Fn(&str) -> Option<&'t User>) -> Result<Value, Status> {
    let token = object.str_at(&["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    Ok(match tokens(token) {
        Some(user) => {
            let user = with_default_groups(user.clone());
            json!({"authenticated": true, "user": user_info(&user)})
        }
        None => json!({"user": {}, "error": "invalid bearer token"}),
    })
}

fn rules(object: &Value, user: &User, grants: &dyn Grants) -> Result<Value, Status> {
    let namespace = object.str_at(&["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    if all_powerful(user, grants) {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    visit_rules(user, namespace, grants, &mut |_, rule| {
        if rule.array_at(&["resources"]).is_empty() {
            paths.push(rule.clone());
        } else {
            resources.push(rule.clone());
        }
        ControlFlow::Continue(())
    });
    Ok(json!({
        "resourceRules": resources,
        "nonResourceRules": paths,
        "incomplete": false,
    }))
}

/// A user as `userInfo` shows it: empty parts are left out.
pub fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username", user.name.as_str());
    if !user.uid.is_empty() {
        info.insert("uid", user.uid.as_str());
    }
    if !user.groups.is_empty() {
        let groups: Value = user.groups.iter().map(String::as_str).collect();
        info.insert("groups", groups);
    }
    if !user.extra.is_empty() {
        let mut extra = Map::new();
        for (key, values) in &user.extra {
            let values: Value = values.iter().map(String::as_str).collect();
            extra.insert(key.as_str(), values);
        }
        info.insert("extra", extra);
    }
    Value::Object(info)
}
