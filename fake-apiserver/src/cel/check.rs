//! The type checker: turns a parsed tree into a typed one, or lists its errors.
//!
//! Owns names, scopes, overload resolution and the typed tree (`Node`).
//! Does not estimate cost (`cel::cost`) nor run (`cel::eval`).
//! Behaviour: cel-go `checker/checker.go`. Simplified: type variables live for one call
//! only; an empty literal's element type fits any other.

use super::macros::{depth, optional_macro, two_variable_macro};
use super::parse::{self, Issue, Parsed};
use super::signatures::{self, Overload};
use super::times;
use super::types::{Decl, Type};
use crate::schema::regexp;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr,
    SelectExpr, StructExpr,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Trees deeper than this are refused, so that no walk can exhaust the stack.
const DEPTH_MAX: usize = 250;
/// cel-go's limit on the errors it tells.
const ISSUES_MAX: usize = 100;

/// The type of a policy's `variables`, whose members the environment knows.
pub(crate) const COMPOSED: &str = "kubernetes.variables";

/// Names that an expression may use.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Variables by name.
    pub variables: BTreeMap<String, Arc<Decl>>,
    /// Members of variables of the type [`COMPOSED`] and their types; they grow while a policy is read.
    pub members: BTreeMap<String, Type>,
    /// Whether objects of any `Object…` type and `JSONPatch` may be built.
    pub builds_objects: bool,
}

impl Environment {
    /// An environment with these variables.
    pub fn with(variables: Vec<(&str, Arc<Decl>)>) -> Environment {
        Environment {
            variables: variables
                .into_iter()
                .map(|(name, decl)| (name.to_owned(), decl))
                .collect(),
            members: BTreeMap::new(),
            builds_objects: false,
        }
    }
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// A typed node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ty: Type,
    pub(crate) kind: Kind,
}

/// What a node does.
#[derive(Debug)]
pub(crate) enum Kind {
    Constant(Constant),
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A variable of a comprehension, by its place among those in scope.
    Local(usize),
    /// The name of a type.
    TypeName(&'static str),
    Select {
        operand: Box<Node>,
        field: Arc<str>,
        test: bool,
    },
    OptionalSelect {
        operand: Box<Node>,
        field: Arc<str>,
    },
    Call {
        function: &'static str,
        /// Indices of the overloads that may apply.
        overloads: Vec<usize>,
        member: bool,
        args: Vec<Node>,
    },
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Object(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    Fold(Box<Fold>),
}

/// A comprehension. Its locals take the next free places in scope:
/// the accumulator first, then one or two variables.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) two: bool,
    /// The names of its one or two variables.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) base: usize,
    pub(crate) init: Node,
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
}

/// A checked expression.
#[derive(Debug)]
pub struct Checked {
    pub(crate) root: Node,
    /// How deep it is nested.
    pub(crate) depth: usize,
    /// The environment variables it mentions.
    pub(crate) mentions: Vec<Arc<str>>,
}

impl Checked {
    /// The type of its result.
    pub fn ty(&self) -> &Type {
        &self.root.ty
    }

    /// Whether it mentions a variable.
    pub fn mentions(&self, variable: &str) -> bool {
        self.mentions.iter().any(|name| &**name == variable)
    }
}

/// Parses and checks `source`.
pub fn check(source: &str, env: &Environment) -> Result<Checked, Vec<Issue>> {
    let parsed = parse::parse(source)?;
    let depth = depth(&parsed.expr);
    if depth > DEPTH_MAX {
        return Err(vec![Issue {
            line: 1,
            column: 1,
            message: "expression recursion limit exceeded: 250".to_owned(),
            ..Issue::default()
        }]);
    }
    let mut checker = Checker {
        env,
        source,
        parsed: &parsed,
        locals: Vec::new(),
        issues: Vec::new(),
        truncated: 0,
        literals: Vec::new(),
        mentions: Vec::new(),
        mixing: false,
    };
    let root = checker.node(&parsed.expr);
    if checker.issues.is_empty() {
        // Literals are looked at once the types are right.
        for (id, message) in std::mem::take(&mut checker.literals) {
            checker.report(id, message);
        }
    }
    let (mut issues, truncated) = (checker.issues, checker.truncated);
    let mentions = checker.mentions;
    if issues.is_empty() {
        return Ok(Checked {
            root,
            depth,
            mentions,
        });
    }
    issues.sort_by_key(|issue| (issue.line, issue.column));
    if truncated > 0 {
        issues.push(Issue {
            line: 0,
            column: 0,
            message: format!("{truncated} more errors were truncated"),
            ..Issue::default()
        });
    }
    Err(issues)
}

struct Checker<'a> {
    env: &'a Environment,
    source: &'a str,
    parsed: &'a Parsed,
    locals: Vec<(String, Type)>,
    issues: Vec<Issue>,
    /// Errors beyond those that are told.
    truncated: usize,
    /// Literals that their function cannot take.
    literals: Vec<(u64, String)>,
    mentions: Vec<Arc<str>>,
    /// Inside the arguments of `format`, where literals may mix types.
    mixing: bool,
}

fn constant(constant: Constant, ty: Type) -> Node {
    Node {
        ty,
        kind: Kind::Constant(constant),
    }
}

/// A dotted name, if the expression is one.
fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Ident(name) => Some(name.trim_start_matches('.').to_owned()),
        Expr::Select(select) if !select.test => Some(format!(
            "{}.{}",
            dotted(&select.operand.expr)?,
            select.field
        )),
        _ => None,
    }
}

impl Checker<'_> {
    fn report(&mut self, id: u64, message: String) -> Node {
        if self.issues.len() == ISSUES_MAX {
            self.truncated += 1;
            return constant(Constant::Null, Type::Error);
        }
        let offset = self
            .parsed
            .info
            .offset_for(id)
            .map_or(0, |(start, _)| start);
        let (line, column) = parse::place(self.source, offset);
        self.issues.push(Issue {
            line,
            column,
            message,
            ..Issue::default()
        });
        constant(Constant::Null, Type::Error)
    }

    fn node(&mut self, expr: &IdedExpr) -> Node {
        match &expr.expr {
            Expr::Unspecified => self.report(expr.id, "unspecified expression".to_owned()),
            Expr::Literal(literal) => match literal {
                LiteralValue::Null => constant(Constant::Null, Type::Null),
                LiteralValue::Boolean(b) => constant(Constant::Bool(*b.inner()), Type::Bool),
                LiteralValue::Int(i) => constant(Constant::Int(*i.inner()), Type::Int),
                LiteralValue::UInt(u) => constant(Constant::UInt(*u.inner()), Type::UInt),
                LiteralValue::Double(d) => constant(Constant::Double(*d.inner()), Type::Double),
                LiteralValue::String(s) => {
                    constant(Constant::String(Arc::from(s.inner())), Type::String)
                }
                LiteralValue::Bytes(b) => {
                    constant(Constant::Bytes(Arc::from(b.inner())), Type::Bytes)
                }
            },
            Expr::Ident(name) => self.ident(expr.id, name.trim_start_matches('.')),
            Expr::Select(select) => self.select(expr.id, select),
            Expr::Call(call) => self.call(expr.id, call),
            Expr::List(list) => self.list(expr.id, list),
            Expr::Map(map) => self.map(expr.id, map),
            Expr::Struct(object) => self.object(expr.id, object),
            Expr::Comprehension(fold) => self.fold(expr.id, fold),
        }
    }

    fn lookup(&mut self, name: &str) -> Option<Node> {
        if let Some(i) = self.locals.iter().rposition(|(local, _)| local == name) {
            return Some(Node {
                ty: self.locals[i].1.clone(),
                kind: Kind::Local(i),
            });
        }
        if let Some(decl) = self.env.variables.get(name) {
            let shared: Arc<str> = Arc::from(name);
            if !self.mentions.contains(&shared) {
                self.mentions.push(shared.clone());
            }
            return Some(Node {
                ty: decl.ty.clone(),
                kind: Kind::Variable(shared),
            });
        }
        let (name, ty) = match name {
            "bool" => ("bool", Type::Bool),
            "int" => ("int", Type::Int),
            "uint" => ("uint", Type::UInt),
            "double" => ("double", Type::Double),
            "string" => ("string", Type::String),
            "bytes" => ("bytes", Type::Bytes),
            "null_type" => ("null_type", Type::Null),
            "type" => ("type", Type::Type(Arc::new(Type::Dyn))),
            "list" => ("list", Type::list(Type::Dyn)),
            "map" => ("map", Type::map(Type::Dyn, Type::Dyn)),
            "google.protobuf.Timestamp" => ("google.protobuf.Timestamp", Type::Timestamp),
            "google.protobuf.Duration" => ("google.protobuf.Duration", Type::Duration),
            "optional_type" => ("optional_type", Type::optional(Type::Dyn)),
            "kubernetes.Quantity" => ("kubernetes.Quantity", Type::Opaque("kubernetes.Quantity")),
            "kubernetes.URL" => ("kubernetes.URL", Type::Opaque("kubernetes.URL")),
            "net.IP" => ("net.IP", Type::Opaque("net.IP")),
            "net.CIDR" => ("net.CIDR", Type::Opaque("net.CIDR")),
            _ => return None,
        };
        Some(Node {
            ty: Type::Type(Arc::new(ty)),
            kind: Kind::TypeName(name),
        })
    }

    fn ident(&mut self, id: u64, name: &str) -> Node {
        match self.lookup(name) {
            Some(node) => node,
            None => self.report(
                id,
                format!("undeclared reference to '{name}' (in container '')"),
            ),
        }
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Node {
        if !select.test
            && let Some(name) = dotted(&Expr::Select(select.clone()))
            && let Some(node) = self.lookup(&name)
        {
            return node;
        }
        let operand = self.node(&select.operand);
        let (ty, optional) = match &operand.ty {
            Type::Optional(inner) => (self.field_type(id, inner, &select.field), true),
            other => (self.field_type(id, &other.clone(), &select.field), false),
        };
        let ty = match (select.test, optional) {
            (true, _) if ty == Type::Error => Type::Error,
            (true, _) => Type::Bool,
            (false, true) => Type::optional(ty),
            (false, false) => ty,
        };
        Node {
            ty,
            kind: Kind::Select {
                operand: Box::new(operand),
                field: Arc::from(select.field.as_str()),
                test: select.test,
            },
        }
    }

    fn field_type(&mut self, id: u64, operand: &Type, field: &str) -> Type {
        match operand {
            Type::Error => Type::Error,
            Type::Dyn | Type::Free | Type::Param(_) => Type::Dyn,
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) if object.name == COMPOSED => match self.env.members.get(field) {
                Some(ty) => ty.clone(),
                None => self
                    .report(id, format!("undefined field '{field}'"))
                    .ty_error(),
            },
            Type::Object(object) => match object.fields.get(field) {
                Some(field) => field.decl.ty.clone(),
                None if object.open => Type::Dyn,
                None => {
                    let told = self.issues.len();
                    let node = self.report(id, format!("undefined field '{field}'"));
                    if let Some(issue) = self.issues.get_mut(told) {
                        issue.known = object.fields.keys().cloned().collect();
                    }
                    node.ty_error()
                }
            },
            // The authorizer has one field.
            Type::Opaque("kubernetes.authorization.Authorizer") if field == "requestResource" => {
                signatures::RESOURCE_CHECK
            }
            other => {
                let message = format!("type '{other}' does not support field selection");
                self.report(id, message).ty_error()
            }
        }
    }

    /// A time, duration or pattern that is written out must be one. Of `matches` only the first argument is looked at.
    fn literal(&mut self, call: &CallExpr) {
        let Some(argument) = call.args.first() else {
            return;
        };
        let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
            return;
        };
        let text = text.inner();
        let fits = match call.func_name.as_str() {
            "duration" => times::parse_duration(text).is_some(),
            "timestamp" => times::parse_timestamp(text).is_some(),
            "matches" => regexp::compile(text).is_ok(),
            _ => return,
        };
        if !fits {
            let message = format!("invalid {} argument", call.func_name);
            self.literals.push((argument.id, message));
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Node {
        if let Some(expanded) = two_variable_macro(call) {
            return self.fold(id, &expanded);
        }
        if call.func_name == "_?._" && call.target.is_none() {
            return self.optional_select(id, call);
        }
        if let Some(target) = &call.target {
            if let Some(expanded) = optional_macro(id, target, call) {
                return self.node(&expanded);
            }
            // A function in a name space, not a member.
            if let Some(space) = dotted(&target.expr) {
                let name = format!("{space}.{}", call.func_name);
                if let Some(function) = signatures::function(&name)
                    && !self.locals.iter().any(|(local, _)| *local == space)
                    && !self.env.variables.contains_key(&space)
                {
                    let args = call.args.iter().map(|arg| self.node(arg)).collect();
                    return self.resolve(id, function, false, args);
                }
            }
        }
        self.literal(call);
        let mut args = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.node(target));
        }
        let mixing = std::mem::replace(&mut self.mixing, call.func_name == "format");
        args.extend(call.args.iter().map(|arg| self.node(arg)));
        self.mixing = mixing;
        match signatures::function(call.func_name.trim_start_matches('.')) {
            Some(function) => self.resolve(id, function, call.target.is_some(), args),
            None => self.report(
                id,
                format!(
                    "undeclared reference to '{}' (in container '')",
                    call.func_name
                ),
            ),
        }
    }

    fn optional_select(&mut self, id: u64, call: &CallExpr) -> Node {
        let operand = self.node(&call.args[0]);
        let field = match &call.args[1].expr {
            Expr::Literal(LiteralValue::String(name)) => name.inner().to_owned(),
            _ => return self.report(id, "unsupported optional field selection".to_owned()),
        };
        let inner = match &operand.ty {
            Type::Optional(inner) => (**inner).clone(),
            other => other.clone(),
        };
        let ty = self.field_type(id, &inner, &field);
        Node {
            ty: Type::optional(ty),
            kind: Kind::OptionalSelect {
                operand: Box::new(operand),
                field: Arc::from(field.as_str()),
            },
        }
    }

    fn resolve(
        &mut self,
        id: u64,
        function: &'static signatures::Function,
        member: bool,
        args: Vec<Node>,
    ) -> Node {
        let types: Vec<&Type> = args.iter().map(|arg| &arg.ty).collect();
        let mut matching = Vec::new();
        let mut result: Option<Type> = None;
        for (i, overload) in function.overloads.iter().enumerate() {
            if let Some(ty) = apply(overload, member, &types) {
                result = Some(match result {
                    None => ty,
                    Some(before) if before == ty => ty,
                    Some(_) => Type::Dyn,
                });
                matching.push(i);
            }
        }
        let Some(mut ty) = result else {
            if types.contains(&&Type::Error) {
                return constant(Constant::Null, Type::Error);
            }
            let shown = |types: &[&Type]| {
                let names: Vec<String> = types.iter().map(|ty| ty.to_string()).collect();
                names.join(", ")
            };
            let signature = if member {
                format!("{}.({})", types[0], shown(&types[1..]))
            } else {
                format!("({})", shown(&types))
            };
            return self.report(
                id,
                format!(
                    "found no matching overload for '{}' applied to '{signature}'",
                    function.name
                ),
            );
        };
        if types.contains(&&Type::Error) && ty.is_dyn() {
            ty = Type::Error;
        }
        Node {
            ty,
            kind: Kind::Call {
                function: function.name,
                overloads: matching,
                member,
                args,
            },
        }
    }

    fn list(&mut self, id: u64, list: &ListExpr) -> Node {
        let mut item = Type::Free;
        let mut items = Vec::with_capacity(list.elements.len());
        for (i, element) in list.elements.iter().enumerate() {
            let optional = list.optional_indices.contains(&i);
            let node = self.node(element);
            let ty = match (&node.ty, optional) {
                (Type::Optional(inner), true) => (**inner).clone(),
                (other, _) => other.clone(),
            };
            item = self.aggregate(element.id, item, &ty);
            items.push((node, optional));
        }
        let _ = id;
        Node {
            ty: Type::list(item),
            kind: Kind::List(items),
        }
    }

    /// Literals must not mix types.
    fn aggregate(&mut self, id: u64, before: Type, ty: &Type) -> Type {
        match before.join(ty) {
            Some(joined) => joined,
            None if self.mixing => Type::Dyn,
            None => {
                self.report(id, format!("expected type '{before}' but found '{ty}'"));
                before
            }
        }
    }

    fn map(&mut self, _id: u64, map: &MapExpr) -> Node {
        let (mut key_type, mut value_type) = (Type::Free, Type::Free);
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            let key = self.node(&entry.key);
            key_type = self.aggregate(entry.key.id, key_type, &key.ty.clone());
            let value = self.node(&entry.value);
            let ty = match (&value.ty, entry.optional) {
                (Type::Optional(inner), true) => (**inner).clone(),
                (other, _) => other.clone(),
            };
            value_type = self.aggregate(entry.value.id, value_type, &ty);
            entries.push((key, value, entry.optional));
        }
        Node {
            ty: Type::map(key_type, value_type),
            kind: Kind::Map(entries),
        }
    }

    fn object(&mut self, id: u64, object: &StructExpr) -> Node {
        let name = object.type_name.trim_start_matches('.');
        let known = self.env.builds_objects
            && (name == "Object" || name.starts_with("Object.") || name == "JSONPatch");
        if !known {
            return self.report(
                id,
                format!("undeclared reference to '{name}' (in container '')"),
            );
        }
        let mut fields = Vec::with_capacity(object.entries.len());
        for entry in &object.entries {
            let EntryExpr::StructField(field) = &entry.expr else {
                continue;
            };
            if name == "JSONPatch" && !["op", "path", "from", "value"].contains(&&*field.field) {
                self.report(entry.id, format!("undefined field '{}'", field.field));
            }
            let value = self.node(&field.value);
            if name == "JSONPatch"
                && field.field != "value"
                && !matches!(value.ty, Type::String | Type::Dyn | Type::Error)
            {
                let message = format!(
                    "expected type of field '{}' is 'string' but provided type is '{}'",
                    field.field, value.ty
                );
                self.report(entry.id, message);
            }
            fields.push((Arc::from(field.field.as_str()), value, field.optional));
        }
        Node {
            ty: Type::Object(Arc::new(super::types::ObjectType {
                name: name.to_owned(),
                fields: BTreeMap::new(),
                open: true,
            })),
            kind: Kind::Object(Arc::from(name), fields),
        }
    }

    fn fold(&mut self, id: u64, fold: &ComprehensionExpr) -> Node {
        let range = self.node(&fold.iter_range);
        let init = self.node(&fold.accu_init);
        let two = fold.iter_var2.is_some();
        let (first, second) = match &range.ty {
            Type::List(item) if two => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Error | Type::Free => (Type::Dyn, Type::Dyn),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(fold.iter_range.id, message);
                (Type::Error, Type::Error)
            }
        };
        let base = self.locals.len();
        self.locals.push((fold.accu_var.clone(), init.ty.clone()));
        self.locals
            .push((fold.iter_var.clone(), unknown_as_dyn(first)));
        if let Some(name) = &fold.iter_var2 {
            self.locals.push((name.clone(), unknown_as_dyn(second)));
        }
        let condition = self.node(&fold.loop_cond);
        let step = self.node(&fold.loop_step);
        if let Some(joined) = init.ty.join(&step.ty) {
            self.locals[base].1 = joined;
        }
        self.locals.truncate(base + 1);
        let result = self.node(&fold.result);
        self.locals.truncate(base);
        let _ = id;
        let names = std::iter::once(&fold.iter_var).chain(&fold.iter_var2);
        Node {
            ty: result.ty.clone(),
            kind: Kind::Fold(Box::new(Fold {
                range,
                two,
                names: names.map(|name| Arc::from(name.as_str())).collect(),
                base,
                init,
                condition,
                step,
                result,
            })),
        }
    }
}

trait TypeError {
    fn ty_error(self) -> Type;
}

impl TypeError for Node {
    fn ty_error(self) -> Type {
        Type::Error
    }
}

fn unknown_as_dyn(ty: Type) -> Type {
    if ty == Type::Free { Type::Dyn } else { ty }
}

/// The result type of an overload on these arguments, `None` if it does not apply.
fn apply(overload: &Overload, member: bool, args: &[&Type]) -> Option<Type> {
    if overload.member != member || overload.params.len() != args.len() {
        return None;
    }
    let mut bound: BTreeMap<char, Type> = BTreeMap::new();
    for (param, arg) in overload.params.iter().zip(args) {
        unify(param, arg, &mut bound)?;
    }
    Some(substitute(&overload.result, &bound))
}

fn unify(param: &Type, arg: &Type, bound: &mut BTreeMap<char, Type>) -> Option<()> {
    match (param, arg) {
        (Type::Param(name), arg) => {
            let joined = match bound.get(name) {
                Some(before) => before.join(arg)?,
                None => arg.clone(),
            };
            bound.insert(*name, joined);
            Some(())
        }
        (_, Type::Dyn | Type::Error | Type::Free) => Some(()),
        (Type::Dyn, _) => Some(()),
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
            unify(a, b, bound)
        }
        (Type::Map(ak, av), Type::Map(bk, bv)) => {
            unify(ak, bk, bound)?;
            unify(av, bv, bound)
        }
        // The wrapper types are nullable.
        (a, b) => a.join(b).map(|_| ()),
    }
}

fn substitute(ty: &Type, bound: &BTreeMap<char, Type>) -> Type {
    match ty {
        Type::Param(name) => bound.get(name).cloned().unwrap_or(Type::Dyn),
        Type::List(item) => Type::list(substitute(item, bound)),
        Type::Map(key, value) => Type::map(substitute(key, bound), substitute(value, bound)),
        Type::Optional(inner) => Type::optional(substitute(inner, bound)),
        Type::Type(inner) => Type::Type(Arc::new(substitute(inner, bound))),
        other => other.clone(),
    }
}
