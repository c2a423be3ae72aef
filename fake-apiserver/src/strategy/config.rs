//! ConfigMaps, Secrets and ServiceAccounts.
//!
//! Owns `stringData`, the demands of each Secret type, `immutable`.
//! Source: `pkg/apis/core/validation`, `pkg/apis/core/v1/conversion.go`, `pkg/registry/core/{configmap,secret}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::json::{CompactString, Value, parse};
use crate::registry::Resource;
use crate::status::Cause;

use super::field::{At, Errors};
use super::names::Names;
use super::pods::fill;
use super::{Cx, Strategy};

const BYTES_MAX: usize = 1 << 20;
const FROZEN: &str = "field is immutable when `immutable` is set";

/// ConfigMaps.
pub struct ConfigMaps;

impl Strategy for ConfigMaps {
    fn validate_create(&self, _cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        config_map(&mut errors, &At::root(object));
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        // B3: the strategy checks the new object, and the check of the change does so again.
        super::validate_metadata(&mut errors, cx, new, old);
        let wrong = !errors.is_empty();
        frozen(&mut errors, &root, old, &["data", "binaryData"]);
        if wrong {
            super::validate_metadata(&mut errors, cx, new, old);
        }
        config_map(&mut errors, &root);
        errors.causes
    }
}

fn decoded_len(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

fn config_map(errors: &mut Errors, root: &At) {
    let (data, binary) = (root.field("data"), root.field("binaryData"));
    let mut bytes = 0;
    for (key, value) in data.entries() {
        errors.name_as(&value, key, Names::ConfigKey);
        if binary.key(key).is_set() {
            errors.invalid_as(&value, key, "duplicate of key present in binaryData");
        }
        bytes += value.text().len();
    }
    for (key, value) in binary.entries() {
        errors.name_as(&value, key, Names::ConfigKey);
        bytes += decoded_len(value.text());
    }
    if bytes > BYTES_MAX {
        errors.push(Cause::too_long("[]", BYTES_MAX));
    }
}

fn frozen(errors: &mut Errors, root: &At, old: &Value, fields: &[&str]) {
    if old["immutable"].as_bool() != Some(true) {
        return;
    }
    if !root.field("immutable").flag() {
        errors.forbidden(&root.field("immutable"), FROZEN);
    }
    for name in fields {
        if root.field(name).value() != &old[*name] {
            errors.forbidden(&root.field(name), FROZEN);
        }
    }
}

/// Secrets.
pub struct Secrets;

impl Strategy for Secrets {
    fn default(&self, _resource: &Resource, object: &mut Value) {
        let map = object.make_object();
        fill(map, "type", "Opaque");
        if let Some(Value::Object(plain)) = map.remove("stringData") {
            for (key, text) in plain {
                let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
                map.object("data").insert(key, encoded);
            }
        }
    }

    fn validate_create(&self, cx: &mut Cx<'_>, object: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        secret(&mut errors, &At::root(object));
        if errors.is_empty() {
            tls_warning(cx, object);
        }
        errors.causes
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        let root = At::root(new);
        errors.immutable(&root.field("type"), &old["type"]);
        frozen(&mut errors, &root, old, &["data"]);
        let before = errors.causes.len();
        super::validate_metadata(&mut errors, cx, new, old);
        if errors.causes.len() > before {
            super::validate_metadata(&mut errors, cx, new, old);
        }
        secret(&mut errors, &root);
        if errors.is_empty() && new["data"] != old["data"] {
            tls_warning(cx, new);
        }
        errors.causes
    }

    fn field(&self, _resource: &Resource, object: &Value, name: &str) -> Option<CompactString> {
        (name == "type").then(|| object.str_at(&["type"]).into())
    }

    fn check_field(&self, _resource: &Resource, name: &str) -> Result<(), String> {
        match name {
            "metadata.name" | "metadata.namespace" | "type" => Ok(()),
            _ => Err(format!("field label not supported: {name}")),
        }
    }
}

// A certificate of a TLS secret that is none is only warned about.
fn tls_warning(cx: &mut Cx<'_>, secret: &Value) {
    if secret.str_at(&["type"]) != "kubernetes.io/tls" {
        return;
    }
    let decode = |key: &str| {
        STANDARD
            .decode(secret.str_at(&["data", key]))
            .unwrap_or_default()
    };
    let has_block = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("-----BEGIN ");
    if !has_block(&decode("tls.crt")) {
        cx.warnings
            .push("tls: failed to find any PEM data in certificate input".to_owned());
    } else if !has_block(&decode("tls.key")) {
        cx.warnings
            .push("tls: failed to find any PEM data in key input".to_owned());
    }
}

fn secret(errors: &mut Errors, root: &At) {
    let data = root.field("data");
    let mut bytes = 0;
    for (key, value) in data.entries() {
        errors.name_as(&value, key, Names::ConfigKey);
        bytes += decoded_len(value.text());
    }
    if bytes > BYTES_MAX {
        errors.too_long(&data, BYTES_MAX);
    }
    let has = |key: &str| data.value().get(key).is_some();
    let json_key = |errors: &mut Errors, key: &str| {
        if !has(key) {
            errors.required(&data.key(key), "");
            return;
        }
        let bytes = STANDARD.decode(data.key(key).text()).unwrap_or_default();
        let problem = match parse(&bytes) {
            Ok(value) if value.is_object() || value.is_null() => return,
            Ok(value) => format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                value.type_name()
            ),
            Err(error) => error.to_string(),
        };
        errors.invalid_as(&data.key(key), "<secret contents redacted>", &problem);
    };
    match root.field("type").text() {
        "kubernetes.io/service-account-token" => {
            let meta = root.field("metadata");
            let annotations = meta.field("annotations");
            let account = annotations.key("kubernetes.io/service-account.name");
            if account.text().is_empty() {
                errors.required(&account, "");
            }
        }
        "kubernetes.io/dockercfg" => json_key(errors, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json_key(errors, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.required(&data.key("username"), "");
            errors.required(&data.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if data.key("ssh-privatekey").text().is_empty() => {
            errors.required(&data.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !has(key) {
                    errors.required(&data.key(key), "");
                }
            }
        }
        _ => {}
    }
}

/// ServiceAccounts.
pub struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    fn warnings(&self, out: &mut Vec<String>, new: &Value, old: Option<&Value>) {
        let key = "kubernetes.io/enforce-mountable-secrets";
        let has = |object: &Value| !object["metadata"]["annotations"][key].is_null();
        if has(new) && !old.is_some_and(has) {
            out.push(format!("metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"));
        }
    }

    fn validate_update(&self, cx: &mut Cx<'_>, new: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Errors::default();
        super::validate_metadata(&mut errors, cx, new, old);
        errors.causes
    }
}
