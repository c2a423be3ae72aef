//! Why a condition is false: the parts of it that decide, with their values.
//!
//! Owns the way from a false expression to the comparisons in it that are to blame, and their text. Runs the parts again
//! and changes nothing. Has no counterpart in Kubernetes, whose messages name the whole expression.

use super::check::{Checked, Constant, Fold, Kind, Node};
use super::eval::{Bindings, Run, items_of};
use super::value::Val;
use crate::json;

/// Texts longer than this are cut.
const TEXT_MAX: usize = 120;
/// No more parts than this are told.
const PARTS_MAX: usize = 8;

/// A part of an expression and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The part, as it could be written.
    pub text: String,
    /// Its value, or why it has none.
    pub value: String,
}

/// The parts of an expression that make it false, or that give it no value.
pub fn why<'v>(checked: &Checked, bindings: &dyn Bindings<'v>, limit: u64) -> Vec<Part> {
    let mut asking = Asking {
        run: Run::new(bindings, limit),
        names: Vec::new(),
        parts: Vec::new(),
    };
    asking.node(&checked.root, false);
    asking.parts
}

struct Asking<'r, 'v> {
    run: Run<'r, 'v>,
    /// Names of the locals in scope; an accumulator has none.
    names: Vec<Option<String>>,
    parts: Vec<Part>,
}

impl Asking<'_, '_> {
    /// Tells why a node is what it is, which is not `wanted` but its opposite, or nothing.
    fn node(&mut self, node: &Node, is: bool) {
        match &node.kind {
            Kind::Call { function, args, .. } => match (*function, args.as_slice()) {
                ("_&&_", [a, b]) if !is => self.either(a, b, false),
                ("_||_", [a, b]) if is => self.either(a, b, true),
                ("_&&_" | "_||_", [a, b]) => {
                    self.node(a, is);
                    self.node(b, is);
                }
                ("!_", [a]) => self.node(a, !is),
                ("_?_:_", [condition, a, b]) => {
                    self.tell(condition);
                    match self.run.node(condition) {
                        Ok(Val::Bool(true)) => self.node(a, is),
                        Ok(Val::Bool(false)) => self.node(b, is),
                        _ => {}
                    }
                }
                ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "@in", [a, b]) => {
                    self.tell(a);
                    self.tell(b);
                }
                _ => self.tell(node),
            },
            Kind::Fold(fold) => self.fold(node, fold, is),
            _ => self.tell(node),
        }
    }

    /// Of two parts, those that are so, or that have no value.
    fn either(&mut self, a: &Node, b: &Node, is: bool) {
        for part in [a, b] {
            let other = matches!(self.run.node(part), Ok(Val::Bool(value)) if value != is);
            if !other {
                self.node(part, is);
            }
        }
    }

    /// The item that decides, where one does.
    fn fold(&mut self, node: &Node, fold: &Fold, is: bool) {
        let body = match &fold.step.kind {
            Kind::Call { function, args, .. } if args.len() == 2 => match *function {
                "_&&_" if !is => Some(&args[1]),
                "_||_" if is => Some(&args[1]),
                _ => None,
            },
            _ => None,
        };
        let range = self.run.node(&fold.range);
        let items = range.and_then(|range| items_of(&range, fold.two));
        let (Ok(items), Some(body)) = (items, body) else {
            self.tell(&fold.range);
            return self.tell(node);
        };
        for (first, second) in items {
            self.run.locals.truncate(fold.base);
            self.run
                .locals
                .extend([Val::Null, first.clone(), second.clone()]);
            if matches!(self.run.node(body), Ok(Val::Bool(value)) if value != is) {
                continue;
            }
            self.names.truncate(fold.base);
            self.names.push(None);
            for (name, value) in fold.names.iter().zip([&first, &second]) {
                self.names.push(Some(name.to_string()));
                self.put(name.to_string(), shown(value));
            }
            self.node(body, is);
            break;
        }
        self.run.locals.truncate(fold.base);
        self.names.truncate(fold.base);
    }

    /// A part and its value, unless it says itself what it is.
    fn tell(&mut self, node: &Node) {
        if matches!(node.kind, Kind::Constant(_) | Kind::TypeName(_)) {
            return;
        }
        let value = match self.run.node(node) {
            Ok(value) => shown(&value),
            Err(failure) => format!("({})", failure.text()),
        };
        let text = self.text(node);
        self.put(text, value);
    }

    fn put(&mut self, text: String, value: String) {
        let part = Part { text, value };
        if self.parts.len() < PARTS_MAX && !self.parts.contains(&part) {
            self.parts.push(part);
        }
    }

    fn text(&self, node: &Node) -> String {
        let list = |nodes: &[Node]| {
            let all: Vec<String> = nodes.iter().map(|node| self.text(node)).collect();
            all.join(", ")
        };
        match &node.kind {
            Kind::Constant(constant) => literal(constant),
            Kind::Variable(name) => name.to_string(),
            Kind::Local(at) => match self.names.get(*at) {
                Some(Some(name)) => name.clone(),
                _ => "_".to_owned(),
            },
            Kind::TypeName(name) => (*name).to_owned(),
            Kind::Select {
                operand,
                field,
                test,
            } => match test {
                true => format!("has({}.{field})", self.text(operand)),
                false => format!("{}.{field}", self.text(operand)),
            },
            Kind::OptionalSelect { operand, field } => format!("{}.?{field}", self.text(operand)),
            Kind::Call {
                function,
                member,
                args,
                ..
            } => match (*function, args.as_slice()) {
                ("_[_]", [a, b]) => format!("{}[{}]", self.text(a), self.text(b)),
                ("_[?_]", [a, b]) => format!("{}[?{}]", self.text(a), self.text(b)),
                ("@in", [a, b]) => format!("{} in {}", self.text(a), self.text(b)),
                ("_?_:_", [a, b, c]) => {
                    format!("{} ? {} : {}", self.text(a), self.text(b), self.text(c))
                }
                (name, [a, b]) if name.starts_with('_') => {
                    format!(
                        "{} {} {}",
                        self.text(a),
                        name.trim_matches('_'),
                        self.text(b)
                    )
                }
                (name, [a]) if name.ends_with('_') => {
                    format!("{}{}", name.trim_matches('_'), self.text(a))
                }
                (name, [target, rest @ ..]) if *member => {
                    format!("{}.{name}({})", self.text(target), list(rest))
                }
                (name, args) => format!("{name}({})", list(args)),
            },
            Kind::List(items) => {
                let all: Vec<String> = items.iter().map(|(item, _)| self.text(item)).collect();
                format!("[{}]", all.join(", "))
            }
            Kind::Map(_) => "{…}".to_owned(),
            Kind::Object(name, _) => format!("{name}{{…}}"),
            Kind::Fold(fold) => {
                let macro_name = match &fold.step.kind {
                    Kind::Call { function, .. } if *function == "_&&_" => "all",
                    Kind::Call { function, .. } if *function == "_||_" => "exists",
                    _ => "map",
                };
                format!(
                    "{}.{macro_name}({}, …)",
                    self.text(&fold.range),
                    fold.names.join(", ")
                )
            }
        }
    }
}

fn literal(constant: &Constant) -> String {
    match constant {
        Constant::Null => "null".to_owned(),
        Constant::Bool(b) => b.to_string(),
        Constant::Int(i) => i.to_string(),
        Constant::UInt(u) => format!("{u}u"),
        Constant::Double(d) => d.to_string(),
        Constant::String(text) => format!("'{text}'"),
        Constant::Bytes(_) => "b'…'".to_owned(),
    }
}

/// A value as a message has it: an object by its name, else JSON.
fn shown(value: &Val<'_>) -> String {
    let Some(json) = value.to_json() else {
        return value.type_name().to_owned();
    };
    let (kind, name) = (json.str_at(&["kind"]), json.str_at(&["metadata", "name"]));
    let text = match (
        kind.is_empty() || name.is_empty(),
        json.str_at(&["metadata", "namespace"]),
    ) {
        (true, _) => String::from_utf8_lossy(&json::to_vec(&json)).into_owned(),
        (false, "") => format!("{kind} {name}"),
        (false, namespace) => format!("{kind} {namespace}/{name}"),
    };
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::{Decl, Environment, Type, check};

    fn told(text: &str) -> String {
        let input = json!([
            {"kind": "Widget", "metadata": {"name": "a"}, "size": 3, "ready": true},
            {"kind": "Widget", "metadata": {"name": "b"}, "size": 5, "ready": false},
        ]);
        let env = Environment::with(vec![("x", Decl::list(Decl::of(Type::Dyn)))]);
        let checked = check(text, &env).unwrap();
        let bindings: Vec<(&str, Val<'_>)> = vec![("x", Val::of(&input, None))];
        let parts = why(&checked, &bindings, 10_000);
        let parts: Vec<String> = parts
            .iter()
            .map(|part| format!("{} = {}", part.text, part.value))
            .collect();
        parts.join("; ")
    }

    #[test]
    fn the_parts_that_decide_are_told() {
        for (text, want) in [
            ("x[0].size == x[1].size", "x[0].size = 3; x[1].size = 5"),
            ("x[0].size == 3 && x[1].size < 5", "x[1].size = 5"),
            ("x.all(w, w.size < 4)", "w = Widget b; w.size = 5"),
            (
                "x.all(w, w.ready || w.size == 4)",
                "w = Widget b; w.ready = false; w.size = 5",
            ),
            (
                "!x.exists(w, w.size > 4 && !w.ready)",
                "w = Widget b; w.size = 5; w.ready = false",
            ),
            (
                "x.all(w, x.all(v, v == w || v.size < w.size))",
                "w = Widget a; v = Widget b; v.size = 5; w.size = 3",
            ),
            (
                "x.all(w, w.color == 'red')",
                "w = Widget a; w.color = (no such key: color)",
            ),
            ("x.size() == 3", "x.size() = 2"),
            ("x.exists(w, w.size > 9)", ""),
        ] {
            let told = told(text);
            if want.is_empty() {
                assert!(!told.is_empty(), "{text}");
            } else {
                assert_eq!(told, want, "{text}");
            }
        }
    }
}
