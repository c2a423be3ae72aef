//! Runs checked expressions and counts what they cost.
//!
//! Owns control flow, variables and the budget; the functions are in `cel::functions`.
//! Behaviour: cel-go `interpreter` (errors of `&&`, `||` and the macros absorb),
//! `interpreter/runtimecost.go`. Every run ends: each step costs and the budget is finite.

use super::check::{Checked, Constant, Fold, Kind, Node};
use super::functions;
use super::value::{Check, Decision, Dict, List, Opaque, Text, Val};
use std::rc::Rc;

/// Text and lists made while running stay below this, whatever the budget.
pub(crate) const SIZE_MAX: usize = 10 * 1024 * 1024;

/// Why an expression gave no value.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// An error of the expression.
    Message(String),
    /// The budget is spent.
    Budget,
}

impl Failure {
    /// As messages have it.
    pub fn text(&self) -> String {
        match self {
            Failure::Message(text) => text.clone(),
            Failure::Budget => "operation cancelled: actual cost limit exceeded".to_owned(),
        }
    }
}

/// An error of the expression.
pub(crate) fn failure<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Message(text.into()))
}

/// What the variables of an environment stand for.
pub trait Bindings<'v> {
    /// The value of a variable.
    fn variable(&self, name: &str) -> Option<Val<'v>>;
    /// A member of a variable whose members are computed on demand.
    fn member(&self, _variable: &str, _field: &str) -> Option<Result<Val<'v>, Failure>> {
        None
    }
    /// Answers `authorizer.….check(verb)`.
    fn authorize(&self, _check: &Check, _verb: &str) -> Decision {
        Decision::default()
    }
}

/// Bindings by name.
impl<'v> Bindings<'v> for Vec<(&str, Val<'v>)> {
    fn variable(&self, name: &str) -> Option<Val<'v>> {
        self.iter()
            .find(|(bound, _)| *bound == name)
            .map(|(_, value)| value.clone())
    }
}

/// The result of a run and what it cost.
#[derive(Debug)]
pub struct Outcome<'v> {
    /// The value or why there is none.
    pub value: Result<Val<'v>, Failure>,
    /// Units spent.
    pub cost: u64,
}

/// Runs an expression; it may spend up to `limit` units.
pub fn evaluate<'v>(checked: &Checked, bindings: &dyn Bindings<'v>, limit: u64) -> Outcome<'v> {
    let mut run = Run::new(bindings, limit);
    let value = run.node(&checked.root);
    Outcome {
        value,
        cost: run.spent,
    }
}

pub(crate) struct Run<'r, 'v> {
    pub(crate) bindings: &'r dyn Bindings<'v>,
    pub(super) locals: Vec<Val<'v>>,
    spent: u64,
    limit: u64,
}

type Result_<'v> = Result<Val<'v>, Failure>;

impl<'r, 'v> Run<'r, 'v> {
    pub(super) fn new(bindings: &'r dyn Bindings<'v>, limit: u64) -> Run<'r, 'v> {
        Run {
            bindings,
            locals: Vec::new(),
            spent: 0,
            limit,
        }
    }

    pub(crate) fn spend(&mut self, units: u64) -> Result<(), Failure> {
        self.spent = self.spent.saturating_add(units);
        if self.spent > self.limit {
            return Err(Failure::Budget);
        }
        Ok(())
    }

    pub(super) fn node(&mut self, node: &Node) -> Result_<'v> {
        match &node.kind {
            Kind::Constant(constant) => Ok(match constant {
                Constant::Null => Val::Null,
                Constant::Bool(b) => Val::Bool(*b),
                Constant::Int(i) => Val::Int(*i),
                Constant::UInt(u) => Val::UInt(*u),
                Constant::Double(d) => Val::Double(*d),
                Constant::String(text) => Val::text(&**text),
                Constant::Bytes(bytes) => Val::Bytes(Rc::from(&**bytes)),
            }),
            Kind::Variable(name) => {
                self.spend(1)?;
                match self.bindings.variable(name) {
                    Some(value) => Ok(value),
                    None => failure(format!("no such attribute(s): {name}")),
                }
            }
            Kind::Local(index) => {
                self.spend(1)?;
                Ok(self.locals[*index].clone())
            }
            Kind::TypeName(name) => Ok(Val::Type(name)),
            Kind::Select {
                operand,
                field,
                test,
            } => self.select(operand, field, *test),
            Kind::OptionalSelect { operand, field } => {
                let value = match self.node(operand)? {
                    Val::Optional(None) => return Ok(Val::Optional(None)),
                    Val::Optional(Some(value)) => (*value).clone(),
                    value => value,
                };
                self.spend(1)?;
                Ok(Val::Optional(field_of(&value, field).map(Rc::new)))
            }
            Kind::Call { function, args, .. } => self.call(function, args),
            Kind::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    match (self.node(item)?, optional) {
                        (Val::Optional(Some(value)), true) => values.push((*value).clone()),
                        (Val::Optional(None), true) => {}
                        (value, _) => values.push(value),
                    }
                }
                self.spend(10)?;
                Ok(Val::list(values))
            }
            Kind::Map(entries) => {
                let mut map: Vec<(Val<'v>, Val<'v>)> = Vec::with_capacity(entries.len());
                for (key, value, optional) in entries {
                    let key = self.node(key)?;
                    let value = match (self.node(value)?, optional) {
                        (Val::Optional(Some(value)), true) => (*value).clone(),
                        (Val::Optional(None), true) => continue,
                        (value, _) => value,
                    };
                    if map.iter().any(|(before, _)| before.equals(&key)) {
                        return failure("Failed with repeated key");
                    }
                    map.push((key, value));
                }
                self.spend(30)?;
                Ok(Val::Dict(Dict::Owned(Rc::new(map))))
            }
            Kind::Object(name, fields) => {
                let mut values = Vec::with_capacity(fields.len());
                for (field, value, optional) in fields {
                    match (self.node(value)?, optional) {
                        (Val::Optional(Some(value)), true) => {
                            values.push((Rc::from(&**field), (*value).clone()));
                        }
                        (Val::Optional(None), true) => {}
                        (value, _) => values.push((Rc::from(&**field), value)),
                    }
                }
                self.spend(40)?;
                Ok(Val::Object(Rc::from(&**name), Rc::new(values)))
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn select(&mut self, operand: &Node, field: &str, test: bool) -> Result_<'v> {
        if let Kind::Variable(name) = &operand.kind
            && let Some(value) = self.bindings.member(name, field)
        {
            self.spend(1)?;
            return value.map(|value| if test { Val::Bool(true) } else { value });
        }
        let value = self.node(operand)?;
        if let Val::Optional(inner) = &value {
            let found = inner.as_ref().and_then(|inner| field_of(inner, field));
            return Ok(match test {
                true => Val::Bool(found.is_some()),
                false => Val::Optional(found.map(Rc::new)),
            });
        }
        if test {
            return Ok(Val::Bool(field_of(&value, field).is_some()));
        }
        self.spend(1)?;
        if let Val::Opaque(opaque) = &value
            && let Opaque::Check(_) = &**opaque
        {
            return match self.bindings.member("authorizer", field) {
                Some(value) => value,
                None => failure(format!("no such key: {field}")),
            };
        }
        match field_of(&value, field) {
            Some(value) => Ok(value),
            None => failure(format!("no such key: {field}")),
        }
    }

    fn call(&mut self, function: &'static str, args: &[Node]) -> Result_<'v> {
        match function {
            "_&&_" => return self.logical(&args[0], &args[1], false),
            "_||_" => return self.logical(&args[0], &args[1], true),
            "_?_:_" => {
                return match self.node(&args[0])? {
                    Val::Bool(true) => self.node(&args[1]),
                    Val::Bool(false) => self.node(&args[2]),
                    _ => failure("no such overload"),
                };
            }
            "@not_strictly_false" => {
                return Ok(match self.node(&args[0]) {
                    Ok(Val::Bool(b)) => Val::Bool(b),
                    Err(Failure::Budget) => return Err(Failure::Budget),
                    _ => Val::Bool(true),
                });
            }
            "_+_" => {
                if let Some(result) = self.append(&args[0], &args[1]) {
                    return result;
                }
            }
            "or" | "orValue" => {
                return match self.node(&args[0])? {
                    Val::Optional(Some(value)) if function == "orValue" => Ok((*value).clone()),
                    value @ Val::Optional(Some(_)) => Ok(value),
                    Val::Optional(None) => self.node(&args[1]),
                    _ => failure("no such overload"),
                };
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(self.node(arg)?);
        }
        functions::call(self, function, values)
    }

    /// `accumulator + [x]` grows the accumulator in place: folds stay linear.
    fn append(&mut self, left: &Node, right: &Node) -> Option<Result_<'v>> {
        let (Kind::Local(index), Kind::List(items)) = (&left.kind, &right.kind) else {
            return None;
        };
        if !matches!(self.locals[*index], Val::List(List::Owned(_))) {
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (item, _) in items {
            match self.node(item) {
                Ok(value) => values.push(value),
                Err(error) => return Some(Err(error)),
            }
        }
        if let Err(error) = self.spend(12) {
            return Some(Err(error));
        }
        let taken = std::mem::replace(&mut self.locals[*index], Val::Null);
        let Val::List(List::Owned(mut list)) = taken else {
            return None;
        };
        Rc::make_mut(&mut list).extend(values);
        Some(Ok(Val::List(List::Owned(list))))
    }

    fn logical(&mut self, left: &Node, right: &Node, decisive: bool) -> Result_<'v> {
        let first = self.node(left);
        match &first {
            Ok(Val::Bool(b)) if *b == decisive => return first,
            Err(Failure::Budget) => return first,
            _ => {}
        }
        let second = self.node(right);
        match (&first, &second) {
            (_, Ok(Val::Bool(b))) if *b == decisive => second,
            (_, Err(Failure::Budget)) => second,
            (Ok(Val::Bool(_)), Ok(Val::Bool(_))) => second,
            (Err(_), _) => first,
            (_, Err(_)) => second,
            _ => failure("no such overload"),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Result_<'v> {
        let range = self.node(&fold.range)?;
        let init = self.node(&fold.init)?;
        let items = items_of(&range, fold.two)?;
        self.locals.truncate(fold.base);
        self.locals.push(init);
        let result = self.steps(fold, items);
        let result = result.and_then(|()| self.node(&fold.result));
        self.locals.truncate(fold.base);
        result
    }

    /// An error of one item in `all` and `exists` stands unless a later item decides.
    fn steps(&mut self, fold: &Fold, items: Vec<(Val<'v>, Val<'v>)>) -> Result<(), Failure> {
        let absorbs = matches!(
            &fold.step.kind,
            Kind::Call {
                function: "_&&_" | "_||_",
                ..
            }
        );
        let mut pending = None;
        for (first, second) in items {
            self.locals.truncate(fold.base + 1);
            self.locals.push(first);
            if fold.two {
                self.locals.push(second);
            }
            self.spend(1)?;
            match self.node(&fold.condition) {
                Ok(Val::Bool(false)) => break,
                Err(Failure::Budget) => return Err(Failure::Budget),
                _ => {}
            }
            match self.node(&fold.step) {
                Ok(value) => self.locals[fold.base] = value,
                Err(Failure::Message(text)) if absorbs => {
                    pending.get_or_insert(Failure::Message(text));
                }
                Err(error) => return Err(error),
            }
            if pending.is_some() && self.decided(fold) {
                pending = None;
                break;
            }
        }
        self.locals.truncate(fold.base + 1);
        pending.map_or(Ok(()), Err)
    }

    /// Whether the accumulator of `all` or `exists` can no longer change.
    fn decided(&self, fold: &Fold) -> bool {
        match (&fold.step.kind, &self.locals[fold.base]) {
            (
                Kind::Call {
                    function: "_&&_", ..
                },
                Val::Bool(value),
            ) => !value,
            (_, Val::Bool(value)) => *value,
            _ => false,
        }
    }
}

/// What a comprehension goes over.
pub(super) fn items_of<'v>(range: &Val<'v>, two: bool) -> Result<Vec<(Val<'v>, Val<'v>)>, Failure> {
    Ok(match range {
        Val::List(list) if two => list
            .iter()
            .enumerate()
            .map(|(i, item)| (Val::Int(i as i64), item))
            .collect(),
        Val::List(list) => list.iter().map(|item| (item, Val::Null)).collect(),
        Val::Dict(dict) => dict.entries(),
        other => {
            return failure(format!(
                "got '{}', expected iterable type",
                other.type_name()
            ));
        }
    })
}

fn field_of<'v>(value: &Val<'v>, field: &str) -> Option<Val<'v>> {
    match value {
        Val::Dict(dict) => dict.field(field),
        Val::Object(_, fields) => fields
            .iter()
            .find(|(name, _)| &**name == field)
            .map(|(_, value)| value.clone()),
        _ => None,
    }
}

/// A string, borrowed.
pub(crate) fn text_of<'a, 'v>(value: &'a Val<'v>) -> Option<&'a Text<'v>> {
    match value {
        Val::String(text) => Some(text),
        _ => None,
    }
}
