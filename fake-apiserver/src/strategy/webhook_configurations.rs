//! Mutating- and ValidatingWebhookConfigurations.
//!
//! Owns defaults and validation of what points to webhooks; calling them is `admission`.
//! Source: `pkg/apis/admissionregistration/{v1/defaults.go,validation/validation.go}` (AD14).

use std::collections::BTreeSet;

use super::field::{At, Errors};
use super::metadata::label_selector;
use super::names::Names;
use super::{Cx, Strategy};
use crate::admission::expressions;
use crate::json::{Map, Value};
use crate::registry::Resource;
use crate::status::{Cause, Status, go_quote};

/// Both kinds of webhook configurations.
pub struct WebhookConfigurations;

impl Strategy for WebhookConfigurations {
    fn default(&self, resource: &Resource, object: &mut Value) {
        let mutating = resource.plural.starts_with("mutating");
        let Some(Value::Array(hooks)) = object.get_mut("webhooks") else {
            return;
        };
        for hook in hooks.iter_mut().filter(|hook| hook.is_object()) {
            let hook = hook.make_object();
            fill(hook, "failurePolicy", || "Fail".into());
            fill(hook, "matchPolicy", || "Equivalent".into());
            fill(hook, "namespaceSelector", Value::object);
            fill(hook, "objectSelector", Value::object);
            fill(hook, "timeoutSeconds", || 10.into());
            if mutating {
                fill(hook, "reinvocationPolicy", || "Never".into());
            }
            for list in ["rules", "matchConditions"] {
                let empty = hook
                    .get(list)
                    .and_then(Value::as_array)
                    .is_some_and(Vec::is_empty);
                if empty {
                    hook.remove(list);
                }
            }
            default_scope(hook.get_mut("rules"));
            if let Some(Value::Object(service)) = hook
                .get_mut("clientConfig")
                .and_then(|c| c.get_mut("service"))
            {
                fill(service, "port", || 443.into());
            }
        }
    }

    fn prepare_create(&self, _cx: &mut Cx<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    fn prepare_update(&self, _: &mut Cx<'_>, _: &mut Value, _: &Value) -> Result<(), Status> {
        Ok(())
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        validate(cx, object)
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, _old: &Value) -> Vec<Cause> {
        validate(cx, new)
    }

    fn changes_generation(&self, new: &Value, old: &Value) -> bool {
        new.get("webhooks") != old.get("webhooks")
    }
}

pub(super) fn fill(map: &mut Map, key: &str, value: impl FnOnce() -> Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key, value());
    }
}

/// Rules apply to both scopes unless they say otherwise.
pub(super) fn default_scope(rules: Option<&mut Value>) {
    if let Some(Value::Array(rules)) = rules {
        for rule in rules.iter_mut().filter(|rule| rule.is_object()) {
            fill(rule.make_object(), "scope", || "*".into());
        }
    }
}

fn validate(cx: &Cx<'_>, object: &Value) -> Vec<Cause> {
    let mutating = cx.resource.plural.starts_with("mutating");
    let mut errors = Errors::default();
    let root = At::root(object);
    let hooks = root.field("webhooks");
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for hook in hooks.items() {
        webhook(&mut errors, &hook, mutating);
        let name = hook.field("name");
        if !name.text().is_empty() && names.contains(&name.text()) {
            errors.duplicate(&name);
        }
        names.insert(name.text());
    }
    errors.causes
}

fn webhook(errors: &mut Errors, hook: &At, mutating: bool) {
    let name = hook.field("name");
    fully_qualified(errors, &name);
    for rule in hook.field("rules").items() {
        self::rule(errors, &rule);
    }
    errors.one_of(&hook.field("failurePolicy"), &["Fail", "Ignore"]);
    errors.one_of(&hook.field("matchPolicy"), &["Equivalent", "Exact"]);
    let effects = hook.field("sideEffects");
    if effects.is_set() {
        errors.one_of(&effects, &["None", "NoneOnDryRun"]);
    } else {
        errors.required(&effects, "must specify one of None, NoneOnDryRun");
    }
    if let Some(seconds) = hook.field("timeoutSeconds").int()
        && !(1..=30).contains(&seconds)
    {
        errors.invalid(
            &hook.field("timeoutSeconds"),
            "the timeout value must be between 1 and 30 seconds",
        );
    }
    label_selector(errors, &hook.field("namespaceSelector"));
    label_selector(errors, &hook.field("objectSelector"));
    if mutating {
        errors.one_of(&hook.field("reinvocationPolicy"), &["IfNeeded", "Never"]);
    }
    client(errors, &hook.field("clientConfig"));
    expressions::match_conditions(errors, &hook.field("matchConditions"), false);
    versions(errors, &hook.field("admissionReviewVersions"));
}

fn fully_qualified(errors: &mut Errors, name: &At) {
    if name.text().is_empty() {
        errors.required(name, "");
        return;
    }
    let problems = Names::Subdomain.check(name.text());
    if !problems.is_empty() {
        errors.invalid(name, &problems.join(","));
    } else if name.text().split('.').count() < 3 {
        errors.invalid(
            name,
            "should be a domain with at least three segments separated by dots",
        );
    }
}

/// A rule of webhooks and policies.
pub(super) fn rule(errors: &mut Errors, rule: &At) {
    let operations = rule.field("operations");
    let star = |at: &At| at.items().any(|item| item.text() == "*");
    if operations.list().is_empty() {
        errors.required(&operations, "");
    }
    if operations.list().len() > 1 && star(&operations) {
        errors.invalid(
            &operations,
            "if '*' is present, must not specify other operations",
        );
    }
    for operation in operations.items() {
        errors.one_of(&operation, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]);
    }
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let at = rule.field(field);
        if at.list().is_empty() {
            errors.required(&at, "");
        }
        if at.list().len() > 1 && star(&at) {
            errors.invalid(
                &at,
                &format!("if '*' is present, must not specify other {what}"),
            );
        }
        if field == "apiVersions" {
            for version in at.items().filter(|version| version.text().is_empty()) {
                errors.required(&version, "");
            }
        }
    }
    let resources = rule.field("resources");
    if resources.list().is_empty() {
        errors.required(&resources, "");
    }
    resource_patterns(errors, &resources);
    errors.one_of(&rule.field("scope"), &["*", "Cluster", "Namespaced"]);
}

/// A pattern counts against those that come after it; of plain resources, the last one decides.
fn resource_patterns(errors: &mut Errors, at: &At) {
    let (mut resources, mut subresources) = (BTreeSet::new(), BTreeSet::new());
    let (mut everything, mut every_resource, mut plain) = (false, false, false);
    for item in at.items() {
        let text = item.text();
        if text.is_empty() {
            errors.required(&item, "");
            continue;
        }
        everything |= text == "*/*";
        every_resource |= text == "*";
        let Some((resource, sub)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if resources.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {text}");
            errors.invalid(&item, &detail);
        }
        if subresources.contains(sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {text}");
            errors.invalid(&item, &detail);
        }
        if sub == "*" {
            resources.insert(resource);
        }
        if resource == "*" {
            subresources.insert(sub);
        }
    }
    if at.list().len() > 1 && everything {
        errors.invalid(at, "if '*/*' is present, must not specify other resources");
    }
    if every_resource && plain {
        errors.invalid(
            at,
            "if '*' is present, must not specify other resources without subresources",
        );
    }
}

fn client(errors: &mut Errors, client: &At) {
    let (url, service) = (client.field("url"), client.field("service"));
    let has_url = !url.value().is_null();
    if has_url == service.is_set() {
        errors.required(client, "exactly one of url or service is required");
        return;
    }
    if has_url {
        webhook_url(errors, &url);
    } else {
        webhook_service(errors, &service);
    }
}

/// The URL of a webhook.
pub(crate) fn webhook_url(errors: &mut Errors, at: &At) {
    const FORM: &str = "; desired format: https://host[/path]";
    let text = at.text();
    let Some((scheme, rest)) = scheme_of(text) else {
        let why = format!(
            "url must be a valid URL: parse {}: missing protocol scheme{FORM}",
            go_quote(text)
        );
        errors.required(at, &why);
        return;
    };
    if scheme != "https" {
        let why = format!("'https' is the only allowed URL scheme{FORM}");
        errors.invalid_as(at, scheme, &why);
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = authority.split('/').next().unwrap_or_default();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    if host.is_empty() {
        errors.invalid_as(at, host, &format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        errors.invalid_as(at, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid_as(at, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid_as(at, query, "query parameters are not permitted in the URL");
    }
}

fn scheme_of(text: &str) -> Option<(&str, &str)> {
    match text.split_once(':') {
        Some(("", _)) => None,
        Some((scheme, rest))
            if scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) =>
        {
            Some((scheme, rest))
        }
        _ => Some(("", text)),
    }
}

/// The Service of a webhook.
pub(crate) fn webhook_service(errors: &mut Errors, at: &At) {
    for field in ["name", "namespace"] {
        let part = at.field(field);
        if part.text().is_empty() {
            errors.required(&part, "");
        }
    }
    if let Some(port) = at.field("port").int()
        && !(1..=65535).contains(&port)
    {
        errors.invalid(
            &at.field("port"),
            "port is not valid: must be between 1 and 65535, inclusive",
        );
    }
    let path = at.field("path");
    if path.value().is_null() {
        return;
    }
    let text = path.text();
    if text == "/" || text.is_empty() {
        return;
    }
    if text == "//" {
        errors.invalid(&path, "segment[0] may not be empty");
        return;
    }
    let Some(rest) = text.strip_prefix('/') else {
        errors.invalid(&path, "must start with a '/'");
        return;
    };
    let segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
    for (i, segment) in segments.enumerate() {
        if segment.is_empty() {
            errors.invalid(&path, &format!("segment[{i}] may not be empty"));
            continue;
        }
        for problem in Names::Subdomain.check(segment) {
            errors.invalid(&path, &format!("segment[{i}]: {problem}"));
        }
    }
}

fn versions(errors: &mut Errors, at: &At) {
    if at.list().is_empty() {
        errors.required(at, "must specify one of v1, v1beta1");
        return;
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for version in at.items() {
        if !seen.insert(version.text()) {
            errors.invalid(&version, "duplicate version");
            continue;
        }
        for problem in Names::Label1035.check(version.text()) {
            errors.invalid(&version, &problem);
        }
    }
    if !seen
        .iter()
        .any(|version| matches!(*version, "v1" | "v1beta1"))
    {
        errors.invalid(at, "must include at least one of v1, v1beta1");
    }
}
