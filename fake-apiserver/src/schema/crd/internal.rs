//! Go's JSON of the internal types of a CustomResourceDefinition, as field errors print them.
//!
//! Owns the order and names of the Go fields: every field is written, unset ones as their zero value.
//! Source: apiextensions-apiserver `pkg/apis/apiextensions/{types,types_jsonschema}.go`.

use std::fmt::Write;

use super::Shared;
use crate::json::Value;

#[derive(Clone, Copy)]
enum Form {
    // A string, "" if unset.
    Text,
    // A pointer or a free value, null if unset.
    Maybe,
    Flag,
    Schemas,
    Schema,
    SchemaMap,
    Items,
    SchemaOrBool,
    Dependencies,
    ExternalDocs,
    Rules,
}

const FIELDS: [(&str, &str, Form); 44] = [
    ("ID", "id", Form::Text),
    ("Schema", "$schema", Form::Text),
    ("Ref", "$ref", Form::Maybe),
    ("Description", "description", Form::Text),
    ("Type", "type", Form::Text),
    ("Nullable", "nullable", Form::Flag),
    ("Format", "format", Form::Text),
    ("Title", "title", Form::Text),
    ("Default", "default", Form::Maybe),
    ("Maximum", "maximum", Form::Maybe),
    ("ExclusiveMaximum", "exclusiveMaximum", Form::Flag),
    ("Minimum", "minimum", Form::Maybe),
    ("ExclusiveMinimum", "exclusiveMinimum", Form::Flag),
    ("MaxLength", "maxLength", Form::Maybe),
    ("MinLength", "minLength", Form::Maybe),
    ("Pattern", "pattern", Form::Text),
    ("MaxItems", "maxItems", Form::Maybe),
    ("MinItems", "minItems", Form::Maybe),
    ("UniqueItems", "uniqueItems", Form::Flag),
    ("MultipleOf", "multipleOf", Form::Maybe),
    ("Enum", "enum", Form::Maybe),
    ("MaxProperties", "maxProperties", Form::Maybe),
    ("MinProperties", "minProperties", Form::Maybe),
    ("Required", "required", Form::Maybe),
    ("Items", "items", Form::Items),
    ("AllOf", "allOf", Form::Schemas),
    ("OneOf", "oneOf", Form::Schemas),
    ("AnyOf", "anyOf", Form::Schemas),
    ("Not", "not", Form::Schema),
    ("Properties", "properties", Form::SchemaMap),
    (
        "AdditionalProperties",
        "additionalProperties",
        Form::SchemaOrBool,
    ),
    ("PatternProperties", "patternProperties", Form::SchemaMap),
    ("Dependencies", "dependencies", Form::Dependencies),
    ("AdditionalItems", "additionalItems", Form::SchemaOrBool),
    ("Definitions", "definitions", Form::SchemaMap),
    ("ExternalDocs", "externalDocs", Form::ExternalDocs),
    ("Example", "example", Form::Maybe),
    (
        "XPreserveUnknownFields",
        "x-kubernetes-preserve-unknown-fields",
        Form::Maybe,
    ),
    (
        "XEmbeddedResource",
        "x-kubernetes-embedded-resource",
        Form::Flag,
    ),
    ("XIntOrString", "x-kubernetes-int-or-string", Form::Flag),
    ("XListMapKeys", "x-kubernetes-list-map-keys", Form::Maybe),
    ("XListType", "x-kubernetes-list-type", Form::Maybe),
    ("XMapType", "x-kubernetes-map-type", Form::Maybe),
    ("XValidations", "x-kubernetes-validations", Form::Rules),
];

/// A schema.
pub(super) fn schema(value: &Value) -> String {
    let mut out = String::new();
    write_schema(value, &mut out);
    out
}

/// An entry of `spec.versions`; what all versions share stands elsewhere and is null here.
pub(super) fn version(value: &Value, shared: &Shared) -> String {
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let own =
        |shared: bool, path: &[&str]| value.at(path).filter(|found| !shared && !found.is_null());
    let mut out = format!(
        "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":",
        Value::from(value.str_at(&["name"])),
        flag("served"),
        flag("storage"),
        flag("deprecated"),
        value.get("deprecationWarning").unwrap_or(&Value::Null),
    );
    match own(shared.schema, &["schema", "openAPIV3Schema"]) {
        Some(schema) => {
            out.push_str("{\"OpenAPIV3Schema\":");
            write_schema(schema, &mut out);
            out.push('}');
        }
        None => out.push_str("null"),
    }
    out.push_str(",\"Subresources\":");
    match own(shared.subresources, &["subresources"]) {
        Some(subresources) => write_subresources(subresources, &mut out),
        None => out.push_str("null"),
    }
    out.push_str(",\"AdditionalPrinterColumns\":");
    write_list(
        own(shared.columns, &["additionalPrinterColumns"]),
        &mut out,
        |column, out| {
            let text = |name: &str| Value::from(column.str_at(&[name]));
            let priority = column.i64_at(&["priority"]).unwrap_or(0);
            let (name, kind, format) = (text("name"), text("type"), text("format"));
            let (description, path) = (text("description"), text("jsonPath"));
            let _ = write!(
                out,
                "{{\"Name\":{name},\"Type\":{kind},\"Format\":{format},\"Description\":{description},\"Priority\":{priority},\"JSONPath\":{path}}}"
            );
        },
    );
    out.push_str(",\"SelectableFields\":");
    write_list(
        own(shared.selectable, &["selectableFields"]),
        &mut out,
        |field, out| {
            let _ = write!(
                out,
                "{{\"JSONPath\":{}}}",
                Value::from(field.str_at(&["jsonPath"]))
            );
        },
    );
    out.push('}');
    out
}

fn write_subresources(subresources: &Value, out: &mut String) {
    let status = if subresources.get("status").is_some_and(Value::is_object) {
        "{}"
    } else {
        "null"
    };
    let _ = write!(out, "{{\"Status\":{status},\"Scale\":");
    match subresources.get("scale").filter(|scale| scale.is_object()) {
        Some(scale) => {
            let _ = write!(
                out,
                "{{\"SpecReplicasPath\":{},\"StatusReplicasPath\":{},\"LabelSelectorPath\":{}}}",
                Value::from(scale.str_at(&["specReplicasPath"])),
                Value::from(scale.str_at(&["statusReplicasPath"])),
                scale.get("labelSelectorPath").unwrap_or(&Value::Null),
            );
        }
        None => out.push_str("null"),
    }
    out.push('}');
}

fn write_list(list: Option<&Value>, out: &mut String, mut item: impl FnMut(&Value, &mut String)) {
    let Some(Value::Array(items)) = list else {
        out.push_str("null");
        return;
    };
    out.push('[');
    for (i, value) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        item(value, out);
    }
    out.push(']');
}

fn write_schema(schema: &Value, out: &mut String) {
    out.push('{');
    for (i, (name, key, form)) in FIELDS.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let _ = write!(out, "\"{name}\":");
        write_field(schema.get(key), *form, out);
    }
    out.push('}');
}

fn write_field(value: Option<&Value>, form: Form, out: &mut String) {
    let value = value.filter(|value| !value.is_null());
    let text = match (form, value) {
        (Form::Text, None) => "\"\"",
        (Form::Flag, None) => "false",
        (_, None) => "null",
        (form, Some(value)) => return write_set(value, form, out),
    };
    out.push_str(text);
}

fn write_set(value: &Value, form: Form, out: &mut String) {
    match form {
        Form::Text | Form::Maybe | Form::Flag => out.push_str(&value.to_string()),
        Form::Schema => write_schema(value, out),
        Form::Schemas => write_list(Some(value), out, write_schema),
        Form::SchemaMap => write_map(value, out, write_schema),
        Form::Items => match value {
            Value::Array(_) => {
                out.push_str("{\"Schema\":null,\"JSONSchemas\":");
                write_list(Some(value), out, write_schema);
                out.push('}');
            }
            _ => {
                out.push_str("{\"Schema\":");
                write_schema(value, out);
                out.push_str(",\"JSONSchemas\":null}");
            }
        },
        Form::SchemaOrBool => match value {
            Value::Bool(allows) => {
                let _ = write!(out, "{{\"Allows\":{allows},\"Schema\":null}}");
            }
            _ => {
                out.push_str("{\"Allows\":true,\"Schema\":");
                write_schema(value, out);
                out.push('}');
            }
        },
        Form::Dependencies => write_map(value, out, |value, out| match value {
            Value::Array(_) => {
                let _ = write!(out, "{{\"Schema\":null,\"Property\":{value}}}");
            }
            _ => {
                out.push_str("{\"Schema\":");
                write_schema(value, out);
                out.push_str(",\"Property\":null}");
            }
        }),
        Form::ExternalDocs => {
            let text = |name: &str| Value::from(value.str_at(&[name]));
            let _ = write!(
                out,
                "{{\"Description\":{},\"URL\":{}}}",
                text("description"),
                text("url")
            );
        }
        Form::Rules => write_list(Some(value), out, |rule, out| {
            let text = |name: &str| Value::from(rule.str_at(&[name]));
            let or_null = |name: &str| rule.get(name).unwrap_or(&Value::Null);
            let (expression, message, message_expression) =
                (text("rule"), text("message"), text("messageExpression"));
            let (reason, path, optional) = (
                or_null("reason"),
                text("fieldPath"),
                or_null("optionalOldSelf"),
            );
            let _ = write!(
                out,
                "{{\"Rule\":{expression},\"Message\":{message},\"MessageExpression\":{message_expression},\"Reason\":{reason},\"FieldPath\":{path},\"OptionalOldSelf\":{optional}}}"
            );
        }),
    }
}

fn write_map(value: &Value, out: &mut String, mut item: impl FnMut(&Value, &mut String)) {
    out.push('{');
    for (i, (key, value)) in value
        .as_object()
        .into_iter()
        .flat_map(|map| map.iter())
        .enumerate()
    {
        if i > 0 {
            out.push(',');
        }
        let _ = write!(out, "{}:", Value::from(key));
        item(value, out);
    }
    out.push('}');
}
