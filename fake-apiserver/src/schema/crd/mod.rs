//! What makes a CustomResourceDefinition valid (L3), how its fields default and which of them cannot change (L12).
//!
//! Owns defaulting, validation and warnings of the definition. `schemas` checks the schema of a version, `paths` the JSON
//! paths, `webhook` the conversion settings. Does not own the definition's life (`actors::crd`) nor CEL (`cel`).
//!
//! Paths are those of the real server's internal type: what all versions have in common stands at `spec.validation`,
//! `spec.subresources` and so on.
//! Source: apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go`, `…/v1/{defaults,conversion}.go`.

mod internal;
mod keywords;
mod paths;
mod schemas;
mod structure;
mod webhook;

use crate::json::{Map, Value};
use crate::status::{Cause, is_printable};
use crate::strategy::names::Names;

pub use paths::{field_path, simple_path};
pub use schemas::unrecognized_formats;

/// The annotation that protected groups need.
pub const API_APPROVED: &str = "api-approved.kubernetes.io";
/// The finalizer that keeps a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

const APPROVAL_LINK: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// Fills in what a definition leaves out.
pub fn default(definition: &mut Value) {
    if definition
        .array_at(&["status", "storedVersions"])
        .is_empty()
        && let Some(storage) = storage_version(definition).map(str::to_owned)
    {
        let stored = Value::Array(vec![Value::from(storage)]);
        definition
            .make_object()
            .object("status")
            .insert("storedVersions", stored);
    }
    let Some(Value::Object(spec)) = definition.get_mut("spec") else {
        return;
    };
    let kind = spec
        .get("names")
        .map(|names| names.str_at(&["kind"]).to_owned())
        .unwrap_or_default();
    let names = spec.object("names");
    if !kind.is_empty() {
        if names.get("singular").is_none_or(is_empty) {
            names.insert("singular", kind.to_lowercase());
        }
        if names.get("listKind").is_none_or(is_empty) {
            names.insert("listKind", format!("{kind}List"));
        }
    }
    let conversion = spec.object("conversion");
    if conversion.get("strategy").is_none_or(is_empty) {
        conversion.insert("strategy", "None");
    }
    let service = spec
        .get_mut("conversion")
        .and_then(|conversion| conversion.at_mut(&["webhook", "clientConfig", "service"]));
    if let Some(Value::Object(service)) = service {
        service.get_or_insert("port", 443);
    }
    let Some(Value::Array(versions)) = spec.get_mut("versions") else {
        return;
    };
    for column in versions
        .iter_mut()
        .filter_map(|version| version.get_mut("additionalPrinterColumns"))
    {
        for column in column.as_array_mut().into_iter().flatten() {
            // An empty description is not written either.
            if let Value::Object(column) = column
                && column.get("priority") == Some(&Value::Int(0))
            {
                column.remove("priority");
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// What is wrong with the `spec` of a definition, then with `status.storedVersions`, the approval and
/// `preserveUnknownFields`. Metadata is the caller's affair, but for [`name`].
pub fn validate(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    spec(definition, &mut causes);
    if let Some(old) = old {
        immutable(definition, old, &mut causes);
    }
    status(definition, &mut causes);
    stored_versions(definition, &mut causes);
    approval(definition, old, &mut causes);
    let preserves = |definition: &Value| {
        definition.at(&["spec", "preserveUnknownFields"]) == Some(&Value::Bool(true))
    };
    if preserves(definition) && !old.is_some_and(preserves) {
        causes.push(Cause::invalid(
            "spec.preserveUnknownFields",
            &Value::Bool(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    causes
}

/// The rule of a definition's name beyond its being a subdomain.
pub fn name(definition: &Value) -> Option<Cause> {
    let name = definition.str_at(&["metadata", "name"]);
    let plural = definition.str_at(&["spec", "names", "plural"]);
    let group = definition.str_at(&["spec", "group"]);
    (!name.is_empty() && name != format!("{plural}.{group}")).then(|| {
        let text = "must be spec.names.plural+\".\"+spec.group";
        Cause::invalid("metadata.name", &Value::from(name), text)
    })
}

/// What is wrong with a `/status` of a definition.
pub fn validate_status(definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    status(definition, &mut causes);
    causes
}

fn spec(definition: &Value, causes: &mut Vec<Cause>) {
    let spec = &definition["spec"];
    let group = spec.str_at(&["group"]);
    let wrong = Names::Subdomain.check(group);
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
    } else if !wrong.is_empty() {
        causes.push(Cause::invalid(
            "spec.group",
            &group.into(),
            &wrong.join(","),
        ));
    } else if !group.contains('.') {
        causes.push(Cause::invalid(
            "spec.group",
            &group.into(),
            "should be a domain with at least one dot",
        ));
    }
    one_of(
        "spec.scope",
        spec.str_at(&["scope"]),
        &["Cluster", "Namespaced"],
        causes,
    );
    let versions = spec.array_at(&["versions"]);
    let shared = Shared::of(versions);
    for (i, version) in versions.iter().enumerate() {
        if version
            .at(&["schema", "openAPIV3Schema"])
            .is_none_or(|schema| !schema.is_object())
        {
            causes.push(Cause::required(
                format!("spec.versions[{i}].schema.openAPIV3Schema"),
                "",
            ));
        }
    }
    for (i, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{i}]");
        label1035(&format!("{path}.name"), version.str_at(&["name"]), causes);
        deprecation(&path, version, causes);
        if !shared.schema {
            schemas::validate(
                &format!("{path}.schema.openAPIV3Schema"),
                version,
                has_status(version),
                causes,
            );
        }
        if !shared.subresources {
            subresources(&format!("{path}.subresources"), version, causes);
        }
        if !shared.columns {
            columns(&path, version, causes);
        }
        if !shared.selectable {
            paths::selectable_fields(&format!("{path}.selectableFields"), version, causes);
        }
    }
    version_set(spec, versions, &shared, causes);
    names(spec, causes);
    if let Some(first) = versions.first() {
        if shared.schema {
            schemas::validate(
                "spec.validation.openAPIV3Schema",
                first,
                versions.iter().any(has_status),
                causes,
            );
        }
        if shared.subresources {
            subresources("spec.subresources", first, causes);
        }
        if shared.columns {
            columns("spec", first, causes);
        }
        if shared.selectable {
            paths::selectable_fields("spec.selectableFields", first, causes);
        }
    }
    webhook::conversion(&spec["conversion"], causes);
}

// What all versions have alike is checked once, at the top.
struct Shared {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Shared {
    fn of(versions: &[Value]) -> Shared {
        let alike = |name: &str| {
            let first = versions.first().and_then(|version| version.get(name));
            versions.iter().all(|version| version.get(name) == first)
        };
        Shared {
            schema: alike("schema"),
            subresources: alike("subresources"),
            columns: alike("additionalPrinterColumns"),
            selectable: alike("selectableFields"),
        }
    }
}

fn has_status(version: &Value) -> bool {
    version
        .at(&["subresources", "status"])
        .is_some_and(|status| !status.is_null())
}

fn version_set(spec: &Value, versions: &[Value], shared: &Shared, causes: &mut Vec<Cause>) {
    let name = |version: &Value| version.str_at(&["name"]).to_owned();
    let mut all: Vec<String> = versions.iter().map(name).collect();
    all.sort();
    let doubled = all.windows(2).any(|pair| pair[0] == pair[1]);
    let storage = versions
        .iter()
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)));
    let shown = || match spec.get("versions") {
        Some(Value::Array(_)) => Some(
            versions
                .iter()
                .map(|version| internal::version(version, shared))
                .collect::<Vec<_>>(),
        ),
        _ => None,
    };
    let mut invalid = |text: &str| {
        let value = shown().map_or_else(
            || "null".to_owned(),
            |versions| format!("[{}]", versions.join(",")),
        );
        causes.push(Cause::new(
            "FieldValueInvalid",
            "spec.versions",
            format!("Invalid value: {value}: {text}"),
        ));
    };
    if doubled {
        invalid("must contain unique version names");
    }
    if storage.count() != 1 {
        invalid("must have exactly one version marked as storage version");
    }
    let first = versions.first().map(name).unwrap_or_default();
    if !first.is_empty() {
        label1035("spec.version", &first, causes);
    }
}

fn deprecation(path: &str, version: &Value, causes: &mut Vec<Cause>) {
    let Some(Value::String(warning)) = version.get("deprecationWarning") else {
        return;
    };
    let deprecated = version.get("deprecated") == Some(&Value::Bool(true));
    let unprintable = warning.char_indices().find(|(_, c)| !is_printable(*c));
    let mut texts = Vec::new();
    if !deprecated {
        texts.push("can only be set for deprecated versions".to_owned());
    }
    if warning.is_empty() {
        texts.push("must not be an empty string".to_owned());
    }
    if warning.len() > 256 {
        texts.push("must be <= 256 characters long".to_owned());
    }
    if let Some((at, c)) = unprintable {
        let code = c as u32;
        texts.push(format!("must only contain printable UTF-8 characters; non-printable character found at index {at}: U+{code:04X}"));
    }
    for text in texts {
        let value = Value::String(warning.clone());
        causes.push(Cause::invalid(
            format!("{path}.deprecationWarning"),
            &value,
            &text,
        ));
    }
}

fn subresources(path: &str, version: &Value, causes: &mut Vec<Cause>) {
    let Some(scale) = version
        .at(&["subresources", "scale"])
        .filter(|scale| scale.is_object())
    else {
        return;
    };
    for (name, root) in [
        ("specReplicasPath", ".spec"),
        ("statusReplicasPath", ".status"),
    ] {
        let field = format!("{path}.scale.{name}");
        let text = scale.str_at(&[name]);
        if text.is_empty() {
            causes.push(Cause::required(field, ""));
        } else if let Err(wrong) = simple_path(text) {
            causes.push(Cause::invalid(field, &text.into(), wrong));
        } else if !text
            .strip_prefix(root)
            .is_some_and(|rest| rest.starts_with('.'))
        {
            let wrong = format!("should be a json path under {root}");
            causes.push(Cause::invalid(field, &text.into(), &wrong));
        }
    }
    let selector = scale.str_at(&["labelSelectorPath"]);
    if !selector.is_empty() {
        let field = format!("{path}.scale.labelSelectorPath");
        if let Err(wrong) = simple_path(selector) {
            causes.push(Cause::invalid(field, &selector.into(), wrong));
        } else if !selector.starts_with(".spec.") && !selector.starts_with(".status.") {
            let wrong = "should be a json path under either .spec or .status";
            causes.push(Cause::invalid(field, &selector.into(), wrong));
        }
    }
}

fn columns(path: &str, version: &Value, causes: &mut Vec<Cause>) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = [
        "byte",
        "date",
        "date-time",
        "double",
        "float",
        "int32",
        "int64",
        "password",
    ];
    for (i, column) in version
        .array_at(&["additionalPrinterColumns"])
        .iter()
        .enumerate()
    {
        let path = format!("{path}.additionalPrinterColumns[{i}]");
        if column.str_at(&["name"]).is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        let kind = column.str_at(&["type"]);
        let wrong = format!("must be one of {}", TYPES.join(","));
        if kind.is_empty() {
            causes.push(Cause::required(format!("{path}.type"), &wrong));
        } else if !TYPES.contains(&kind) {
            causes.push(Cause::invalid(format!("{path}.type"), &kind.into(), &wrong));
        }
        let format = column.str_at(&["format"]);
        if !format.is_empty() && !FORMATS.contains(&format) {
            let wrong = format!("must be one of {}", FORMATS.join(","));
            causes.push(Cause::invalid(
                format!("{path}.format"),
                &format.into(),
                &wrong,
            ));
        }
        let json_path = column.str_at(&["jsonPath"]);
        if json_path.is_empty() {
            causes.push(Cause::required(format!("{path}.JSONPath"), ""));
        } else if let Err(wrong) = simple_path(json_path) {
            causes.push(Cause::invalid(
                format!("{path}.JSONPath"),
                &json_path.into(),
                wrong,
            ));
        }
    }
}

fn names(spec: &Value, causes: &mut Vec<Cause>) {
    let names = &spec["names"];
    for name in ["plural", "singular", "kind", "listKind"] {
        if names.str_at(&[name]).is_empty() {
            causes.push(Cause::required(format!("spec.names.{name}"), ""));
        }
    }
    name_forms("spec.names", names, causes);
}

fn name_forms(path: &str, names: &Value, causes: &mut Vec<Cause>) {
    for name in ["plural", "singular"] {
        let text = names.str_at(&[name]);
        if !text.is_empty() {
            label1035(&format!("{path}.{name}"), text, causes);
        }
    }
    for name in ["kind", "listKind"] {
        let text = names.str_at(&[name]);
        let wrong = Names::Label1035.check(&text.to_lowercase());
        if !text.is_empty() && !wrong.is_empty() {
            let wrong = format!(
                "may have mixed case, but should otherwise match: {}",
                wrong.join(",")
            );
            causes.push(Cause::invalid(
                format!("{path}.{name}"),
                &text.into(),
                &wrong,
            ));
        }
    }
    for (i, short) in names.array_at(&["shortNames"]).iter().enumerate() {
        label1035(
            &format!("{path}.shortNames[{i}]"),
            short.as_str().unwrap_or_default(),
            causes,
        );
    }
    let (kind, list_kind) = (names.str_at(&["kind"]), names.str_at(&["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        let wrong = "kind and listKind may not be the same";
        causes.push(Cause::invalid(
            format!("{path}.listKind"),
            &list_kind.into(),
            wrong,
        ));
    }
    for (i, category) in names.array_at(&["categories"]).iter().enumerate() {
        label1035(
            &format!("{path}.categories[{i}]"),
            category.as_str().unwrap_or_default(),
            causes,
        );
    }
}

fn status(definition: &Value, causes: &mut Vec<Cause>) {
    if let Some(names) = definition.at(&["status", "acceptedNames"]) {
        name_forms("status.acceptedNames", names, causes);
    }
}

fn stored_versions(definition: &Value, causes: &mut Vec<Cause>) {
    const PATH: &str = "status.storedVersions";
    let stored = definition.array_at(&["status", "storedVersions"]);
    if stored.is_empty() {
        let value = definition
            .at(&["status", "storedVersions"])
            .unwrap_or(&Value::Null);
        causes.push(Cause::invalid(
            PATH,
            value,
            "must have at least one stored version",
        ));
        return;
    }
    let versions = definition.array_at(&["spec", "versions"]);
    for version in versions {
        let name = &version["name"];
        if version.get("storage") == Some(&Value::Bool(true)) && !stored.contains(name) {
            let text = format!(
                "must have the storage version {}",
                name.as_str().unwrap_or_default()
            );
            causes.push(Cause::invalid(PATH, &Value::Array(stored.to_vec()), &text));
        }
    }
    for (i, name) in stored.iter().enumerate() {
        if !versions
            .iter()
            .any(|version| version.get("name") == Some(name))
        {
            let version = name.as_str().unwrap_or_default();
            let text = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
            );
            causes.push(Cause::invalid(format!("{PATH}[{i}]"), name, &text));
        }
    }
}

/// The state of a protected group's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// The group is not protected.
    NotNeeded,
    /// A URL says who approved.
    Approved(String),
    /// The annotation says why not.
    Unapproved(String),
    /// There is no annotation.
    Missing,
    /// It is neither a URL nor a reason.
    Invalid(String),
}

/// Looks at the annotation of a definition.
pub fn approval_of(definition: &Value) -> Approval {
    let group = definition.str_at(&["spec", "group"]);
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        let head = group.strip_suffix(domain);
        head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
    });
    if !protected {
        return Approval::NotNeeded;
    }
    match definition
        .at(&["metadata", "annotations", API_APPROVED])
        .and_then(Value::as_str)
    {
        None | Some("") => Approval::Missing,
        Some(text) if text.starts_with("unapproved") => Approval::Unapproved(text.to_owned()),
        Some(text) => match text.split_once("://") {
            Some((scheme, rest))
                if !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/') =>
            {
                Approval::Approved(text.to_owned())
            }
            _ => Approval::Invalid(text.to_owned()),
        },
    }
}

fn approval(definition: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let state = approval_of(definition);
    if old.is_some_and(|old| approval_of(old) == state) {
        return;
    }
    let field = format!("metadata.annotations[{API_APPROVED}]");
    match state {
        Approval::Missing => {
            let text = format!(
                "protected groups must have approval annotation \"{API_APPROVED}\", {APPROVAL_LINK}"
            );
            causes.push(Cause::required(field, &text));
        }
        Approval::Invalid(value) => {
            let text = format!(
                "protected groups must have approval annotation \"{API_APPROVED}\" with either a URL or a reason starting with \"unapproved\", {APPROVAL_LINK}"
            );
            causes.push(Cause::invalid(field, &value.into(), &text));
        }
        _ => {}
    }
}

fn immutable(definition: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let mut fixed: Vec<&[&str]> = Vec::new();
    if condition(old, "Established") == "True" {
        fixed.push(&["spec", "scope"]);
        fixed.push(&["spec", "names", "kind"]);
    }
    fixed.push(&["spec", "group"]);
    fixed.push(&["spec", "names", "plural"]);
    for path in fixed {
        let value = definition.at(path).unwrap_or(&Value::Null);
        if old.at(path).unwrap_or(&Value::Null) != value {
            causes.push(Cause::invalid(path.join("."), value, "field is immutable"));
        }
    }
}

/// The status of a condition, empty if it is not there.
pub fn condition<'a>(definition: &'a Value, kind: &str) -> &'a str {
    let mut conditions = definition.array_at(&["status", "conditions"]).iter();
    let found = conditions.rfind(|condition| condition.str_at(&["type"]) == kind);
    found.map_or("", |found| found.str_at(&["status"]))
}

/// `status` of a new definition: nothing but the storage version.
pub fn fresh_status(definition: &Value) -> Value {
    let mut status = Map::new();
    let mut names = Map::new();
    names.insert("kind", "");
    names.insert("plural", "");
    status.insert("acceptedNames", Value::Object(names));
    status.insert("conditions", Value::Null);
    let stored: Vec<Value> = storage_version(definition)
        .into_iter()
        .map(Value::from)
        .collect();
    let stored = if stored.is_empty() {
        Value::Null
    } else {
        Value::Array(stored)
    };
    status.insert("storedVersions", stored);
    Value::Object(status)
}

/// The (first) version marked as the storage version.
pub fn storage_version(definition: &Value) -> Option<&str> {
    let versions = definition.array_at(&["spec", "versions"]).iter();
    let mut marked = versions.filter(|version| version.get("storage") == Some(&Value::Bool(true)));
    marked.next().map(|version| version.str_at(&["name"]))
}

fn label1035(path: &str, text: &str, causes: &mut Vec<Cause>) {
    let wrong = Names::Label1035.check(text);
    if !wrong.is_empty() {
        causes.push(Cause::invalid(path, &text.into(), &wrong.join(",")));
    }
}

fn one_of(path: &str, text: &str, allowed: &[&str], causes: &mut Vec<Cause>) {
    if text.is_empty() {
        causes.push(Cause::required(path, ""));
    } else if !allowed.contains(&text) {
        causes.push(Cause::not_supported(path, &text.into(), allowed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn definition(version: Value) -> Value {
        let mut definition = json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [version]
            }
        });
        default(&mut definition);
        let status = fresh_status(&definition);
        definition.set(&["status"], status);
        definition
    }

    fn check(schema: Value, want: &[&str]) {
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let causes = validate(&definition(version), None);
        let texts: Vec<String> = causes.iter().map(Cause::text).collect();
        assert_eq!(texts, want);
    }

    #[test]
    fn l3_structure() {
        check(json!({"type": "object"}), &[]);
        check(
            json!({"type": "object", "properties": {"f": {}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[f].type: Required value: must not be empty for specified object fields",
            ],
        );
        check(
            json!({"type": "object", "properties": {"f": {"type": "string", "pattern": "("}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[f].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`",
            ],
        );
        check(
            json!({"type": "object", "properties": {"f": {"type": "string", "default": 1}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[f].default: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
            ],
        );
        check(
            json!({"type": "object", "properties": {"f": {"type": "object", "x-kubernetes-embedded-resource": true}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[f].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        );
    }

    #[test]
    fn l3_structure_is_told_in_the_order_of_its_texts() {
        let at = "spec.validation.openAPIV3Schema";
        let check = |schema: Value, want: &[String]| {
            let want: Vec<&str> = want.iter().map(String::as_str).collect();
            self::check(schema, &want);
        };
        check(
            json!({"type": "object", "properties": {"f": {"x-kubernetes-int-or-string": true, "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}),
            &[
                format!(
                    "{at}.properties[f].type: Required value: must be object if x-kubernetes-embedded-resource is true"
                ),
                format!(
                    "{at}.properties[f].x-kubernetes-embedded-resource: Invalid value: true: must be false if x-kubernetes-int-or-string is true"
                ),
                format!(
                    "{at}.properties[f].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true"
                ),
            ],
        );
        let described = json!({"type": "object", "description": "d"});
        check(
            json!({"type": "object", "properties": {"metadata": described.clone()}}),
            &[format!(
                "{at}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
            )],
        );
        // Of an embedded resource more may be known.
        check(
            json!({"type": "object", "properties": {"e": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"metadata": described}}}}),
            &[],
        );
        check(
            json!({"type": "object", "properties": {"f": {"type": "object", "additionalProperties": true, "properties": {"a": {"type": "string"}}}}}),
            &[],
        );
    }

    #[test]
    fn l1_defaults_and_first_status() {
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let definition = definition(version);
        assert_eq!(
            definition.str_at(&["spec", "names", "listKind"]),
            "WidgetList"
        );
        assert_eq!(
            definition.str_at(&["spec", "conversion", "strategy"]),
            "None"
        );
        let want = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]});
        assert_eq!(definition["status"], want);
    }

    #[test]
    fn l12_what_cannot_change() {
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let mut old = definition(version);
        let established = json!([{"type": "Established", "status": "True"}]);
        old.set(&["status", "conditions"], established);
        let mut new = old.clone();
        new.set(&["spec", "scope"], "Cluster");
        new.set(&["spec", "names", "singular"], "wid");
        let texts: Vec<String> = validate(&new, Some(&old)).iter().map(Cause::text).collect();
        assert_eq!(
            texts,
            ["spec.scope: Invalid value: \"Cluster\": field is immutable"]
        );
    }
}
