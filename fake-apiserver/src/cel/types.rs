//! Types of the Common Expression Language as Kubernetes uses it, and declarations:
//! a type together with the bounds a schema puts on values of it.
//!
//! Owns `Type`, `Decl` and the spelling of types in messages. Does not know schemas
//! (`cel::schema`) nor functions (`cel::signatures`).
//! Behaviour: cel-go `common/types`, Kubernetes `apiserver/pkg/cel/types.go`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The most bytes a request may hold; every bound derives from it.
pub const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// A static type.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Checked only when running.
    Dyn,
    /// The type of `null`.
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    UInt,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `google.protobuf.Duration`
    Duration,
    /// The type of a type.
    Type(Arc<Type>),
    /// `list(T)`
    List(Arc<Type>),
    /// `map(K, V)`
    Map(Arc<Type>, Arc<Type>),
    /// An object with known fields.
    Object(Arc<ObjectType>),
    /// `optional_type(T)`
    Optional(Arc<Type>),
    /// A type known by name only, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// A type parameter of a signature.
    Param(char),
    /// An element type not yet known: that of an empty list or map literal.
    Free,
    /// The type of an expression that has been reported already.
    Error,
}

/// An object type: its name and its fields by the name expressions use.
#[derive(Debug)]
pub struct ObjectType {
    /// Unique name, shown in messages.
    pub name: String,
    /// Fields by escaped name.
    pub fields: BTreeMap<String, Field>,
    /// Any field may be named; those not listed are `dyn`.
    pub open: bool,
}

impl PartialEq for ObjectType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A field of an object type.
#[derive(Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    /// What it holds.
    pub decl: Arc<Decl>,
}

/// How the elements of a list are told apart.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum ListKind {
    /// By position.
    #[default]
    Atomic,
    /// By value; order does not matter.
    Set,
    /// By the values of these keys; order does not matter.
    Map(Vec<String>),
}

/// A type with the bounds that its schema declares.
#[derive(Debug)]
pub struct Decl {
    /// The type.
    pub ty: Type,
    /// The most characters, bytes, items or entries a value can have.
    pub elements_max: u64,
    /// The fewest bytes a value takes in a request.
    pub bytes_min: u64,
    /// Items of a list, values of a map.
    pub items: Option<Arc<Decl>>,
    /// How items are told apart.
    pub list_kind: ListKind,
}

impl Decl {
    /// A declaration without bounds.
    pub fn of(ty: Type) -> Arc<Decl> {
        Arc::new(Decl {
            ty,
            elements_max: u64::MAX,
            bytes_min: 1,
            items: None,
            list_kind: ListKind::Atomic,
        })
    }

    /// An object with these fields.
    pub fn object(name: &str, fields: Vec<(&str, Arc<Decl>)>) -> Arc<Decl> {
        Decl::of(Type::Object(Arc::new(ObjectType {
            name: name.to_owned(),
            fields: fields
                .into_iter()
                .map(|(name, decl)| {
                    let field = Field {
                        name: name.to_owned(),
                        decl,
                    };
                    (name.to_owned(), field)
                })
                .collect(),
            open: false,
        })))
    }

    /// A list of such items.
    pub fn list(items: Arc<Decl>) -> Arc<Decl> {
        Arc::new(Decl {
            ty: Type::list(items.ty.clone()),
            elements_max: u64::MAX,
            bytes_min: 2,
            items: Some(items),
            list_kind: ListKind::Atomic,
        })
    }

    /// A map from strings to such values.
    pub fn map(values: Arc<Decl>) -> Arc<Decl> {
        Arc::new(Decl {
            ty: Type::map(Type::String, values.ty.clone()),
            elements_max: u64::MAX,
            bytes_min: 2,
            items: Some(values),
            list_kind: ListKind::Atomic,
        })
    }

    /// The declaration of a field, if this is an object that has it.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match &self.ty {
            Type::Object(object) => object.fields.get(name),
            _ => None,
        }
    }
}

impl Type {
    /// `list(item)`
    pub fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    /// `map(key, value)`
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    /// `optional_type(inner)`
    pub fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }

    /// Whether nothing is known before running.
    pub fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error | Type::Free)
    }

    /// Whether values have one size whatever they hold.
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Int
                | Type::UInt
                | Type::Double
                | Type::Duration
                | Type::Timestamp
                | Type::Null
                | Type::Type(_)
                | Type::Opaque(_)
        )
    }

    /// The common type of two, `None` when they do not agree.
    pub fn join(&self, other: &Type) -> Option<Type> {
        match (self, other) {
            (a, b) if a == b => Some(a.clone()),
            (Type::Free, b) => Some(b.clone()),
            (a, Type::Free) => Some(a.clone()),
            (Type::Error, _) | (_, Type::Error) => Some(Type::Error),
            (Type::Dyn, _) | (_, Type::Dyn) => Some(Type::Dyn),
            (Type::Null, b) if b.is_nullable() => Some(b.clone()),
            (a, Type::Null) if a.is_nullable() => Some(a.clone()),
            (Type::List(a), Type::List(b)) => Some(Type::list(a.join(b)?)),
            (Type::Map(ak, av), Type::Map(bk, bv)) => Some(Type::map(ak.join(bk)?, av.join(bv)?)),
            (Type::Optional(a), Type::Optional(b)) => Some(Type::optional(a.join(b)?)),
            (Type::Type(_), Type::Type(_)) => Some(Type::Type(Arc::new(Type::Dyn))),
            _ => None,
        }
    }

    /// Whether `null` may stand for a value of the type.
    fn is_nullable(&self) -> bool {
        matches!(
            self,
            Type::Object(_)
                | Type::Opaque(_)
                | Type::Timestamp
                | Type::Duration
                | Type::Optional(_)
        )
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => f.write_str("dyn"),
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::UInt => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::String => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Duration => f.write_str("duration"),
            Type::Type(inner) => write!(f, "type({inner})"),
            Type::List(item) => write!(f, "list({item})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Object(object) => f.write_str(&object.name),
            Type::Optional(inner) => write!(f, "optional_type({inner})"),
            Type::Opaque(name) => f.write_str(name),
            Type::Param(name) => write!(f, "{name}"),
            Type::Free => f.write_str("_var0"),
            Type::Error => f.write_str("!error!"),
        }
    }
}
