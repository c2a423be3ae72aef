//! Schemas: what a kind's fields are, for built-in and custom resources alike.
//!
//! Owns the graph of field facts ([`Schema`]), the packed table of the built-in types ([`Schemas`]), and everything that is
//! driven by it: decoding with Go's type errors, pruning, defaulting, value validation with ratcheting
//! , and the checks on a CustomResourceDefinition . Strategic merge, apply, explain and OpenAPI read
//! the same graph through the accessors here.
//!
//! Does not own CEL (`cel`), nor what is code per kind (`strategy`).
//!
//! Imitates k8s.io/apimachinery (serializer/json), k8s.io/apiextensions-apiserver (pkg/apiserver/schema, validation) and
//! sigs.k8s.io/structured-merge-diff's view of a type.

mod builtin;
pub(crate) mod cache;
pub mod crd;
mod decode;
mod default;
mod document;
pub mod format;
pub mod go;
#[cfg(test)]
mod hostile_tests;
mod list_type;
mod metadata;
mod prune;
pub mod regexp;
mod structural;
mod validate;

pub use builtin::Schemas;
pub use decode::{Decoded, decode, normalise, settle, zero_of as zero};
pub use default::{default, fill_defaults};
pub use document::complaints;
pub use list_type::{duplicates, validate_lists};
pub use metadata::validate_embedded;
pub use prune::{coerce_metadata, coerce_nulls, decode_custom, prune, whole_numbers};
pub use structural::build;
pub use validate::{validate, validate_below};

use crate::json::{CompactString, Value};
use crate::status::cut_path;

/// More unknown fields than this are not told.
const UNKNOWN_MAX: usize = 10_000;

/// Notes the path of an unknown field.
fn note(unknown: &mut Vec<String>, path: &str) {
    if unknown.len() < UNKNOWN_MAX {
        unknown.push(path.to_owned());
    }
}

/// The JSON type of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// No type given: any value.
    #[default]
    Any,
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

impl Type {
    /// The name OpenAPI gives it; empty for [`Type::Any`].
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "",
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
        }
    }

    /// The type of a name.
    pub fn parse(name: &str) -> Option<Type> {
        Some(match name {
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            _ => return None,
        })
    }
}

/// Go types that marshal themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Special {
    /// An ordinary type.
    #[default]
    None,
    /// `resource.Quantity`
    Quantity,
    /// `intstr.IntOrString`
    IntOrString,
    /// `metav1.Time`: seconds.
    Time,
    /// `metav1.MicroTime`: exactly six fraction digits.
    MicroTime,
    /// `runtime.RawExtension`: any object, kept as it is.
    Raw,
    /// `metav1.FieldsV1`: any object, kept as it is.
    Fields,
    /// `apiextensions.JSON`: any value, null included.
    Json,
    /// `JSONSchemaPropsOrArray`
    SchemaOrArray,
    /// `JSONSchemaPropsOrBool`
    SchemaOrBool,
    /// `JSONSchemaPropsOrStringArray`
    SchemaOrStrings,
    /// `[]byte`, base64 in JSON.
    Bytes,
}

/// `x-kubernetes-list-type`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole; the default.
    #[default]
    Atomic,
    /// Unique scalars.
    Set,
    /// Objects, unique by their keys.
    Map,
}

/// One node: an object, list, map or scalar with all that is known about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    pub(crate) name: Option<&'static str>,
    pub(crate) kind: Type,
    pub(crate) special: Special,
    pub(crate) format: Option<CompactString>,
    pub(crate) fields: Vec<Field>,
    pub(crate) items: Option<Child>,
    pub(crate) values: Option<Child>,
    pub(crate) values_forbidden: bool,
    pub(crate) default: Option<Value>,
    pub(crate) enumeration: Vec<Value>,
    pub(crate) required: Vec<CompactString>,
    pub(crate) list_type: Option<ListType>,
    pub(crate) list_map_keys: Vec<CompactString>,
    pub(crate) map_atomic: bool,
    pub(crate) nullable: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) int_or_string: bool,
    pub(crate) embedded: bool,
    pub(crate) gvks: Vec<[&'static str; 3]>,
    pub(crate) rules: Option<Box<Rules>>,
    /// What a custom resource's schema says about `metadata` (its names only).
    pub(crate) metadata: Option<Box<Schema>>,
    /// `additionalProperties: true`: any value, but nothing is known below it.
    pub(crate) anything: bool,
    /// True if this node or one below it is an embedded resource.
    pub(crate) has_embedded: bool,
    /// True if this node or one below it is a list of type set or map.
    pub(crate) has_unique_lists: bool,
    /// True if this node or one below it has a default.
    pub(crate) has_defaults: bool,
    /// True if this node or one below it has CEL rules.
    pub(crate) has_cel: bool,
}

/// Value validations of a custom resource's schema, and its CEL rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<i64>,
    pub(crate) max_length: Option<i64>,
    pub(crate) min_items: Option<i64>,
    pub(crate) max_items: Option<i64>,
    pub(crate) min_properties: Option<i64>,
    pub(crate) max_properties: Option<i64>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Schema>,
    pub(crate) pattern: Option<regexp::Pattern>,
    pub(crate) cel: Vec<CelRule>,
}

/// One of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CelRule {
    /// The expression.
    pub rule: String,
    /// What to say when it is false.
    pub message: String,
    /// An expression for what to say.
    pub message_expression: String,
    /// The cause's reason; empty means FieldValueInvalid.
    pub reason: String,
    /// A field below this node that the cause names.
    pub field_path: String,
    /// `oldSelf` is an optional, so that a transition rule also runs without an old value.
    pub optional_old_self: Option<bool>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub(crate) name: CompactString,
    pub(crate) child: Child,
    /// Go: a pointer, so that zero and absent differ.
    pub(crate) pointer: bool,
    /// Go: written even if zero.
    pub(crate) kept: bool,
    pub(crate) default: Option<Value>,
    pub(crate) map_type: Option<CompactString>,
    pub(crate) patch_strategy: Option<CompactString>,
    pub(crate) patch_merge_key: Option<CompactString>,
}

impl Field {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its schema.
    pub fn schema(&self) -> &Schema {
        self.child.get()
    }

    /// Its default, if it has one.
    pub fn default(&self) -> Option<&Value> {
        self.default
            .as_ref()
            .or_else(|| self.child.get().default.as_ref())
    }

    /// `x-kubernetes-map-type: atomic` (or a list or scalar that is a unit anyway says nothing here).
    pub fn map_atomic(&self) -> bool {
        match self.map_type.as_deref() {
            Some(text) => text == "atomic",
            None => self.child.get().map_atomic,
        }
    }

    /// `x-kubernetes-map-type` where the field has one of its own.
    pub fn map_type(&self) -> Option<&str> {
        self.map_type.as_deref()
    }

    /// `x-kubernetes-patch-strategy`: `merge`, `replace`, `retainKeys`, several separated by commas.
    pub fn patch_strategy(&self) -> Option<&str> {
        self.patch_strategy.as_deref()
    }

    /// `x-kubernetes-patch-merge-key`
    pub fn patch_merge_key(&self) -> Option<&str> {
        self.patch_merge_key.as_deref()
    }

    /// True if Go writes the field even when it is zero.
    pub fn kept(&self) -> bool {
        self.kept
    }

    /// True if Go writes the field even if it is zero.
    pub fn is_written(&self) -> bool {
        self.kept
    }

    /// True if Go tells zero from absent here (a pointer).
    pub fn pointer(&self) -> bool {
        self.pointer
    }
}

/// A node below another: its own, or one of the built-in types.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Child {
    Own(Box<Schema>),
    Builtin(u16),
}

impl Child {
    pub(crate) fn get(&self) -> &Schema {
        match self {
            Child::Own(schema) => schema,
            Child::Builtin(id) => Schemas::builtin().nth(*id),
        }
    }
}

impl Schema {
    /// The OpenAPI name of a built-in type.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Its JSON type.
    pub fn kind(&self) -> Type {
        self.kind
    }

    /// The Go type that marshals itself, if it is one.
    pub fn special(&self) -> Special {
        self.special
    }

    /// `format`
    pub fn format(&self) -> Option<&str> {
        self.format.as_deref()
    }

    /// Fields in order of their names.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A field's facts.
    pub fn field(&self, name: &str) -> Option<&Field> {
        // Looking at lengths first beats comparing strings for their order, where there are few.
        if self.fields.len() <= 20 {
            let mut fields = self.fields.iter();
            return fields.find(|field| field.name.len() == name.len() && field.name == name);
        }
        let at = self
            .fields
            .binary_search_by(|field| field.name.as_str().cmp(name));
        at.ok().map(|i| &self.fields[i])
    }

    /// The schema of what stands under a key: a field, else a map value.
    pub fn child(&self, key: &str) -> Option<&Schema> {
        match self.field(key) {
            Some(field) => Some(field.schema()),
            None => self.values(),
        }
    }

    /// Goes from the path of an object to that of what stands under a key: `.field`, or `[key]` of a map.
    fn push_child(&self, path: &mut String, key: &str) {
        if self.field(key).is_none() {
            path.push_str(&format!("[{key}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        }
        cut_path(path);
    }

    /// The schema of a list's elements.
    pub fn items(&self) -> Option<&Schema> {
        self.items.as_ref().map(Child::get)
    }

    /// The schema of a map's values (`additionalProperties`).
    pub fn values(&self) -> Option<&Schema> {
        self.values.as_ref().map(Child::get)
    }

    /// True for plain strings, of which any will do.
    pub(crate) fn is_text(&self) -> bool {
        self.kind == Type::String && self.special == Special::None
    }

    /// True for a map (any keys) rather than an object with fields.
    pub fn is_map(&self) -> bool {
        self.values.is_some()
    }

    /// The default of this node itself.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Allowed values; empty = any.
    pub fn enumeration(&self) -> &[Value] {
        &self.enumeration
    }

    /// Required fields.
    pub fn required(&self) -> &[CompactString] {
        &self.required
    }

    /// `x-kubernetes-list-type`
    pub fn list_type(&self) -> ListType {
        self.list_type.unwrap_or_default()
    }

    /// `x-kubernetes-list-map-keys`
    pub fn list_map_keys(&self) -> &[CompactString] {
        &self.list_map_keys
    }

    /// `x-kubernetes-map-type: atomic` on this node.
    pub fn map_atomic(&self) -> bool {
        self.map_atomic
    }

    /// `nullable`
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// `x-kubernetes-preserve-unknown-fields`
    pub fn preserve_unknown(&self) -> bool {
        self.preserve_unknown
    }

    /// `x-kubernetes-int-or-string`, also Go's IntOrString.
    pub fn int_or_string(&self) -> bool {
        self.int_or_string || self.special == Special::IntOrString
    }

    /// `x-kubernetes-embedded-resource`
    pub fn embedded(&self) -> bool {
        self.embedded
    }

    /// The (group, version, kind)s whose objects are of this type.
    pub fn gvks(&self) -> &[[&'static str; 3]] {
        &self.gvks
    }

    /// CEL rules of this node.
    pub fn cel_rules(&self) -> &[CelRule] {
        self.rules.as_ref().map_or(&[], |rules| &rules.cel)
    }

    /// True if this node or one below has CEL rules.
    pub fn has_cel(&self) -> bool {
        self.has_cel
    }

    /// `maxLength`
    pub fn max_length(&self) -> Option<i64> {
        self.rules.as_ref().and_then(|rules| rules.max_length)
    }

    /// `maxItems`
    pub fn max_items(&self) -> Option<i64> {
        self.rules.as_ref().and_then(|rules| rules.max_items)
    }

    /// `maxProperties`
    pub fn max_properties(&self) -> Option<i64> {
        self.rules.as_ref().and_then(|rules| rules.max_properties)
    }
}
