//! Macros that the parser does not expand: the two-variable comprehensions and the
//! ones of optionals.
//!
//! Behaviour: cel-go `ext/comprehensions.go`, `cel/library.go` (optional types).

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr,
};

const ACCUMULATOR: &str = "@result";

fn node(id: u64, expr: Expr) -> IdedExpr {
    IdedExpr { id, expr }
}

fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let call = CallExpr {
        func_name: name.to_owned(),
        target: None,
        args,
    };
    node(id, Expr::Call(call))
}

fn member(id: u64, target: IdedExpr, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let call = CallExpr {
        func_name: name.to_owned(),
        target: Some(Box::new(target)),
        args,
    };
    node(id, Expr::Call(call))
}

fn ident(id: u64, name: &str) -> IdedExpr {
    node(id, Expr::Ident(name.to_owned()))
}

fn boolean(id: u64, value: bool) -> IdedExpr {
    node(id, Expr::Literal(LiteralValue::Boolean(value.into())))
}

fn int(id: u64, value: i64) -> IdedExpr {
    node(id, Expr::Literal(LiteralValue::Int(value.into())))
}

fn name_of(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        _ => None,
    }
}

/// `range.all(i, v, …)`, `exists`, `existsOne`, `transformList`, `transformMap`.
pub(super) fn two_variable_macro(source: &CallExpr) -> Option<ComprehensionExpr> {
    let range = source.target.as_deref()?;
    let (first, second) = match source.args.as_slice() {
        [first, second, _] | [first, second, _, _] => (name_of(first)?, name_of(second)?),
        _ => return None,
    };
    let id = range.id;
    let (filter, body) = match &source.args[2..] {
        [body] => (None, body.clone()),
        [filter, body] => (Some(filter.clone()), body.clone()),
        _ => return None,
    };
    let accumulator = || ident(id, ACCUMULATOR);
    let strictly = |arg| call(id, "@not_strictly_false", vec![arg]);
    let (init, condition, step, result) = match (source.func_name.as_str(), &filter) {
        ("all", None) => (
            boolean(id, true),
            strictly(accumulator()),
            call(id, "_&&_", vec![accumulator(), body]),
            accumulator(),
        ),
        ("exists", None) => (
            boolean(id, false),
            strictly(call(id, "!_", vec![accumulator()])),
            call(id, "_||_", vec![accumulator(), body]),
            accumulator(),
        ),
        ("existsOne" | "exists_one", None) => (
            int(id, 0),
            boolean(id, true),
            call(
                id,
                "_?_:_",
                vec![
                    body,
                    call(id, "_+_", vec![accumulator(), int(id, 1)]),
                    accumulator(),
                ],
            ),
            call(id, "_==_", vec![accumulator(), int(id, 1)]),
        ),
        ("transformList", _) => (
            node(id, Expr::List(ListExpr::new(Vec::new()))),
            boolean(id, true),
            call(
                id,
                "_+_",
                vec![
                    accumulator(),
                    node(id, Expr::List(ListExpr::new(vec![body]))),
                ],
            ),
            accumulator(),
        ),
        ("transformMap", _) => (
            node(
                id,
                Expr::Map(MapExpr {
                    entries: Vec::new(),
                }),
            ),
            boolean(id, true),
            call(
                id,
                "@mapInsert",
                vec![accumulator(), ident(id, &first), body],
            ),
            accumulator(),
        ),
        _ => return None,
    };
    let step = match filter {
        Some(filter) => call(id, "_?_:_", vec![filter, step, accumulator()]),
        None => step,
    };
    Some(ComprehensionExpr {
        iter_range: range.clone(),
        iter_var: first,
        iter_var2: Some(second),
        accu_var: ACCUMULATOR.to_owned(),
        accu_init: init,
        loop_cond: condition,
        loop_step: step,
        result,
    })
}

/// `target.optMap(v, …)` and `target.optFlatMap(v, …)`.
pub(super) fn optional_macro(id: u64, target: &IdedExpr, source: &CallExpr) -> Option<IdedExpr> {
    let flat = match source.func_name.as_str() {
        "optMap" => false,
        "optFlatMap" => true,
        _ => return None,
    };
    let [variable, body] = source.args.as_slice() else {
        return None;
    };
    let name = name_of(variable)?;
    let bound = node(
        id,
        Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: node(id, Expr::List(ListExpr::new(Vec::new()))),
            iter_var: "#unused".to_owned(),
            iter_var2: None,
            accu_var: name.clone(),
            accu_init: member(id, target.clone(), "value", Vec::new()),
            loop_cond: boolean(id, false),
            loop_step: ident(id, &name),
            result: body.clone(),
        })),
    );
    let optional = |name, args| member(id, ident(id, "optional"), name, args);
    let then = if flat {
        bound
    } else {
        optional("of", vec![bound])
    };
    Some(call(
        id,
        "_?_:_",
        vec![
            member(id, target.clone(), "hasValue", Vec::new()),
            then,
            optional("none", Vec::new()),
        ],
    ))
}

/// How deep a tree is, counted without regard to its kind.
pub(super) fn depth(expr: &IdedExpr) -> usize {
    1 + match &expr.expr {
        Expr::Call(call) => call
            .args
            .iter()
            .chain(call.target.as_deref())
            .map(depth)
            .max()
            .unwrap_or(0),
        Expr::Select(select) => depth(&select.operand),
        Expr::List(list) => list.elements.iter().map(depth).max().unwrap_or(0),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|e| entry_depth(&e.expr))
            .max()
            .unwrap_or(0),
        Expr::Struct(object) => {
            let entries = object.entries.iter();
            entries.map(|e| entry_depth(&e.expr)).max().unwrap_or(0)
        }
        Expr::Comprehension(fold) => [
            &fold.iter_range,
            &fold.accu_init,
            &fold.loop_cond,
            &fold.loop_step,
            &fold.result,
        ]
        .into_iter()
        .map(depth)
        .max()
        .unwrap_or(0),
        _ => 0,
    }
}

fn entry_depth(entry: &EntryExpr) -> usize {
    match entry {
        EntryExpr::StructField(field) => depth(&field.value),
        EntryExpr::MapEntry(entry) => depth(&entry.key).max(depth(&entry.value)),
    }
}
