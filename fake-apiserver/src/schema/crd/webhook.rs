//! `spec.conversion` of a CustomResourceDefinition.
//!
//! Source: apiextensions-apiserver `validation.go`, apiserver `pkg/util/webhook/validation.go`.

use std::collections::BTreeSet;

use super::{label1035, one_of};
use crate::json::Value;
use crate::status::Cause;

const FORM: &str = "; desired format: https://host[/path]";
const FORBIDDEN: &str = "should not be set when strategy is not set to Webhook";

pub(super) fn conversion(conversion: &Value, causes: &mut Vec<Cause>) {
    let strategy = conversion.str_at(&["strategy"]);
    one_of(
        "spec.conversion.strategy",
        strategy,
        &["None", "Webhook"],
        causes,
    );
    let config = conversion
        .at(&["webhook", "clientConfig"])
        .filter(|config| config.is_object());
    let versions = conversion.array_at(&["webhook", "conversionReviewVersions"]);
    const CONFIG: &str = "spec.conversion.webhookClientConfig";
    const VERSIONS: &str = "spec.conversion.conversionReviewVersions";
    if strategy != "Webhook" {
        if config.is_some() {
            causes.push(Cause::forbidden(CONFIG, FORBIDDEN));
        }
        if !versions.is_empty() {
            causes.push(Cause::forbidden(VERSIONS, FORBIDDEN));
        }
        return;
    }
    match config {
        None => causes.push(Cause::required(
            CONFIG,
            "required when strategy is set to Webhook",
        )),
        Some(config) => client_config(config, CONFIG, causes),
    }
    if versions.is_empty() {
        causes.push(Cause::required(VERSIONS, ""));
        return;
    }
    let mut known = false;
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().enumerate() {
        let text = version.as_str().unwrap_or_default();
        let path = format!("{VERSIONS}[{i}]");
        if !seen.insert(text) {
            causes.push(Cause::invalid(path, version, "duplicate version"));
        } else {
            label1035(&path, text, causes);
        }
        known |= matches!(text, "v1" | "v1beta1");
        // A definition with more versions than this is broken anyway; keep the work linear.
        if i > 100 {
            break;
        }
    }
    if !known {
        let value = Value::Array(versions.to_vec());
        causes.push(Cause::invalid(
            VERSIONS,
            &value,
            "must include at least one of v1, v1beta1",
        ));
    }
}

fn client_config(config: &Value, path: &str, causes: &mut Vec<Cause>) {
    let url = config.get("url").and_then(Value::as_str);
    let service = config.get("service").filter(|service| service.is_object());
    match (url, service) {
        (Some(url), None) => webhook_url(url, &format!("{path}.url"), causes),
        (None, Some(service)) => webhook_service(service, &format!("{path}.service"), causes),
        _ => causes.push(Cause::required(
            path,
            "exactly one of url or service is required",
        )),
    }
}

fn webhook_url(url: &str, path: &str, causes: &mut Vec<Cause>) {
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (scheme, rest)
        }
        _ => ("", url),
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest
        .strip_prefix("//")
        .map_or("", |rest| rest.split('/').next().unwrap_or_default());
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let mut invalid = |value: &str, text: String| {
        causes.push(Cause::invalid(path, &value.into(), &text));
    };
    if !scheme.eq_ignore_ascii_case("https") {
        invalid(
            scheme,
            format!("'https' is the only allowed URL scheme{FORM}"),
        );
    }
    if host.is_empty() {
        invalid(host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        invalid(
            user,
            "user information is not permitted in the URL".to_owned(),
        );
    }
    if !fragment.is_empty() {
        invalid(
            fragment,
            "fragments are not permitted in the URL".to_owned(),
        );
    }
    if !query.is_empty() {
        invalid(
            query,
            "query parameters are not permitted in the URL".to_owned(),
        );
    }
}

fn webhook_service(service: &Value, path: &str, causes: &mut Vec<Cause>) {
    if service.str_at(&["name"]).is_empty() {
        causes.push(Cause::required(
            format!("{path}.name"),
            "service name is required",
        ));
    }
    if service.str_at(&["namespace"]).is_empty() {
        causes.push(Cause::required(
            format!("{path}.namespace"),
            "service namespace is required",
        ));
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let text = "port is not valid: must be between 1 and 65535, inclusive";
        causes.push(Cause::invalid(
            format!("{path}.port"),
            &Value::Int(port),
            text,
        ));
    }
    let Some(url_path) = service.get("path").and_then(Value::as_str) else {
        return;
    };
    let field = format!("{path}.path");
    let value = Value::from(url_path);
    if !url_path.starts_with('/') {
        causes.push(Cause::invalid(
            field.clone(),
            &value,
            "must start with a '/'",
        ));
    }
    let steps = url_path.trim_start_matches('/');
    let steps = steps.strip_suffix('/').unwrap_or(steps);
    if steps.is_empty() {
        return;
    }
    for (i, step) in steps.split('/').enumerate() {
        if step.is_empty() {
            let text = format!("segment[{i}] may not be empty");
            causes.push(Cause::invalid(field.clone(), &value, &text));
            continue;
        }
        for wrong in crate::strategy::names::Names::Subdomain.check(step) {
            let text = format!("segment[{i}]: {wrong}");
            causes.push(Cause::invalid(field.clone(), &value, &text));
        }
    }
}
