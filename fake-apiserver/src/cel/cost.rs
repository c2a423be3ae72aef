//! Static cost estimates: what an expression can cost at worst, given the bounds that
//! declarations put on its inputs.
//!
//! Behaviour: cel-go `checker/cost.go`, Kubernetes `apiserver/pkg/cel/library/cost.go`.

use super::check::{Checked, Constant, Environment, Fold, Kind, Node};
use super::types::{Decl, Type};
use std::sync::Arc;

/// The least and the most of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

const fn fixed(units: u64) -> Range {
    Range {
        min: units,
        max: units,
    }
}

const UNKNOWN: Range = Range {
    min: 0,
    max: u64::MAX,
};

impl Range {
    fn plus(self, other: Range) -> Range {
        Range {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    fn times(self, other: Range) -> Range {
        Range {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    fn union(self, other: Range) -> Range {
        Range {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Rounded up, per ten thousand.
    fn scaled(self, per_10k: u64) -> Range {
        let scale = |units: u64| match units {
            u64::MAX => u64::MAX,
            units => {
                let wide = (u128::from(units) * u128::from(per_10k)).div_ceil(10_000);
                u64::try_from(wide).unwrap_or(u64::MAX)
            }
        };
        Range {
            min: scale(self.min),
            max: scale(self.max),
        }
    }

    fn traversal(self) -> Range {
        self.scaled(1_000)
    }
}

/// Estimates the cost of a checked expression.
pub fn estimate(checked: &Checked, env: &Environment) -> Range {
    let mut estimator = Estimator {
        env,
        locals: Vec::new(),
    };
    estimator.node(&checked.root).cost
}

#[derive(Clone, Debug)]
struct Estimate {
    cost: Range,
    /// Size, where it follows from the expression.
    size: Option<Range>,
    /// Size of the items or values of a container made by the expression.
    entries: Option<Range>,
    /// Declaration, where the expression is a path from a variable.
    decl: Option<Arc<Decl>>,
}

struct Local {
    size: Option<Range>,
    entries: Option<Range>,
    decl: Option<Arc<Decl>>,
}

struct Estimator<'a> {
    env: &'a Environment,
    locals: Vec<Local>,
}

fn plain(cost: Range) -> Estimate {
    Estimate {
        cost,
        size: None,
        entries: None,
        decl: None,
    }
}

impl Estimator<'_> {
    fn node(&mut self, node: &Node) -> Estimate {
        match &node.kind {
            Kind::Constant(constant) => Estimate {
                size: match constant {
                    Constant::String(text) => Some(fixed(text.chars().count() as u64)),
                    Constant::Bytes(bytes) => Some(fixed(bytes.len() as u64)),
                    _ => Some(fixed(1)),
                },
                ..plain(fixed(0))
            },
            Kind::Variable(name) => Estimate {
                decl: self.env.variables.get(&**name).cloned(),
                ..plain(fixed(1))
            },
            Kind::Local(index) => {
                let local = &self.locals[*index];
                Estimate {
                    cost: fixed(1),
                    size: local.size,
                    entries: local.entries,
                    decl: local.decl.clone(),
                }
            }
            Kind::TypeName(_) => plain(fixed(1)),
            Kind::Select {
                operand,
                field,
                test,
            } => {
                let inner = self.node(operand);
                if *test {
                    return plain(inner.cost);
                }
                let step = match operand.ty {
                    Type::Map(..) | Type::Object(_) => 1,
                    _ => 0,
                };
                Estimate {
                    decl: inner.decl.and_then(|decl| child(&decl, field)),
                    ..plain(inner.cost.plus(fixed(step)))
                }
            }
            Kind::OptionalSelect { operand, field } => {
                let inner = self.node(operand);
                Estimate {
                    decl: inner.decl.and_then(|decl| child(&decl, field)),
                    ..plain(inner.cost.plus(fixed(1)))
                }
            }
            Kind::List(items) => {
                let mut cost = fixed(10);
                let mut entries = Range {
                    min: u64::MAX,
                    max: 0,
                };
                for (item, _) in items {
                    let estimate = self.node(item);
                    cost = cost.plus(estimate.cost);
                    entries = entries.union(size_of(item, &estimate));
                }
                Estimate {
                    cost,
                    size: Some(fixed(items.len() as u64)),
                    entries: Some(entries),
                    decl: None,
                }
            }
            Kind::Map(entries) => {
                let mut cost = fixed(30);
                for (key, value, _) in entries {
                    cost = cost.plus(self.node(key).cost).plus(self.node(value).cost);
                }
                Estimate {
                    size: Some(fixed(entries.len() as u64)),
                    ..plain(cost)
                }
            }
            Kind::Object(_, fields) => {
                let mut cost = fixed(40);
                for (_, value, _) in fields {
                    cost = cost.plus(self.node(value).cost);
                }
                plain(cost)
            }
            Kind::Fold(fold) => self.fold(fold),
            Kind::Call {
                function,
                overloads,
                member,
                args,
            } => self.call(function, overloads, *member, args),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Estimate {
        let range = self.node(&fold.range);
        let init = self.node(&fold.init);
        let items = range.decl.as_ref().and_then(|decl| decl.items.clone());
        let is_map = matches!(fold.range.ty, Type::Map(..));
        let item = |decl: Option<Arc<Decl>>| Local {
            size: if decl.is_some() { None } else { range.entries },
            entries: None,
            decl,
        };
        // Keys have no declared size; cel-go counts them as empty.
        let key = || Local {
            size: Some(fixed(0)),
            entries: None,
            decl: None,
        };
        let base = self.locals.len();
        self.locals.push(Local {
            size: init.size,
            entries: init.entries,
            decl: None,
        });
        match (is_map, fold.two) {
            (true, false) => self.locals.push(key()),
            (true, true) => {
                self.locals.push(key());
                self.locals.push(item(items));
            }
            (false, false) => self.locals.push(item(items)),
            (false, true) => {
                self.locals.push(Local {
                    size: Some(fixed(1)),
                    entries: None,
                    decl: None,
                });
                self.locals.push(item(items));
            }
        }
        let condition = self.node(&fold.condition);
        let step = self.node(&fold.step);
        self.locals.truncate(base + 1);
        let result = self.node(&fold.result);
        self.locals.truncate(base);
        let count = size_of(&fold.range, &range);
        let loops = count.times(step.cost.plus(condition.cost));
        let builds = matches!(fold.init.kind, Kind::List(_) | Kind::Map(_));
        Estimate {
            cost: range.cost.plus(init.cost).plus(result.cost).plus(loops),
            size: if builds { Some(count) } else { init.size },
            entries: step.entries,
            decl: None,
        }
    }

    fn call(
        &mut self,
        function: &'static str,
        overloads: &[usize],
        member: bool,
        args: &[Node],
    ) -> Estimate {
        let estimates: Vec<Estimate> = args.iter().map(|arg| self.node(arg)).collect();
        let spent = estimates
            .iter()
            .fold(fixed(0), |sum, estimate| sum.plus(estimate.cost));
        let size = |i: usize| match (args.get(i), estimates.get(i)) {
            (Some(arg), Some(estimate)) => size_of(arg, estimate),
            _ => fixed(0),
        };
        let costs = |units: Range| plain(spent.plus(units));
        let sized = |units: Range, size: Range| Estimate {
            size: Some(size),
            ..plain(spent.plus(units))
        };
        match function {
            "_&&_" | "_||_" => Estimate {
                cost: Range {
                    min: estimates[0].cost.min,
                    max: spent.max,
                },
                ..plain(fixed(0))
            },
            "_?_:_" => Estimate {
                cost: estimates[0]
                    .cost
                    .plus(estimates[1].cost.union(estimates[2].cost)),
                size: Some(size(1).union(size(2))),
                entries: match (estimates[1].entries, estimates[2].entries) {
                    (Some(a), Some(b)) => Some(a.union(b)),
                    (a, b) => a.or(b),
                },
                decl: None,
            },
            "_==_" | "_!=_" => costs(smaller(size(0), size(1)).traversal()),
            "_<_" | "_<=_" | "_>_" | "_>=_" => {
                let text = |ty: &Type| matches!(ty, Type::String | Type::Bytes);
                let mut cost = smaller(size(0), size(1)).traversal();
                if !args.iter().any(|arg| text(&arg.ty)) {
                    cost = fixed(1).union(if overloads.len() > 1 { cost } else { fixed(1) });
                }
                costs(cost)
            }
            "_+_" => match args[0].ty {
                Type::String | Type::Bytes | Type::Dyn => {
                    let total = size(0).plus(size(1));
                    sized(total.traversal(), total)
                }
                Type::List(_) => Estimate {
                    entries: match (estimates[0].entries, estimates[1].entries) {
                        (Some(a), Some(b)) => Some(a.union(b)),
                        (a, b) => a.or(b),
                    },
                    ..sized(fixed(1), size(0).plus(size(1)))
                },
                _ => costs(fixed(1)),
            },
            "_[_]" | "_[?_]" => Estimate {
                size: estimates[0].entries,
                decl: estimates[0]
                    .decl
                    .as_ref()
                    .and_then(|decl| decl.items.clone()),
                ..costs(fixed(1))
            },
            "@in" => match args[1].ty {
                Type::Map(..) => costs(fixed(1)),
                _ => costs(size(1)),
            },
            "dyn" => Estimate {
                cost: spent.plus(fixed(1)),
                ..estimates[0].clone()
            },
            "startsWith" | "endsWith" => costs(size(1).traversal()),
            "contains" => costs(size(0).traversal().times(size(1).traversal())),
            "matches" | "find" | "findAll" => {
                let text = size(0).plus(fixed(1)).traversal();
                let pattern = size(1).scaled(2_500);
                let cost = text.times(pattern);
                match function {
                    "matches" => costs(cost),
                    _ => sized(
                        cost,
                        Range {
                            min: 0,
                            max: size(0).max,
                        },
                    ),
                }
            }
            "bytes" if args[0].ty == Type::String => {
                let bytes = Range {
                    min: size(0).min,
                    max: size(0).max.saturating_mul(4),
                };
                sized(size(0).traversal(), bytes)
            }
            "string" if args[0].ty == Type::Bytes => sized(size(0).traversal(), size(0)),
            "string" if args[0].ty == Type::String => Estimate {
                size: Some(size(0)),
                ..costs(fixed(1))
            },
            "strings.quote" => {
                let quoted = Range {
                    min: size(0).min.saturating_add(2),
                    max: size(0).max.saturating_mul(2).saturating_add(2),
                };
                sized(size(0).traversal(), quoted)
            }
            "format" => sized(size(0).traversal(), size(0).plus(size(1))),
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "distinct"
            | "sort" | "reverse" | "slice" | "flatten"
                if member =>
            {
                self.list_pass(&args[0], &estimates[0], spent, function)
            }
            "url" | "isURL" | "quantity" | "isQuantity" | "isIP" | "isCIDR" | "cidr" | "semver"
            | "isSemver" => costs(size(0).traversal()),
            "ip" if !member => costs(size(0).traversal()),
            "ip.isCanonical" => costs(size(0).scaled(2_000)),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                sized(size(0).traversal(), size(0))
            }
            "replace" => {
                let longest = size(0)
                    .max
                    .saturating_add(1)
                    .saturating_mul(size(2).max.max(1))
                    .saturating_add(size(0).max);
                sized(
                    size(0).scaled(2_000),
                    Range {
                        min: 0,
                        max: longest,
                    },
                )
            }
            "split" => {
                let max = match args.get(2).map(|arg| &arg.kind) {
                    Some(Kind::Constant(Constant::Int(limit))) if *limit >= 0 => *limit as u64,
                    _ => size(0).max,
                };
                sized(size(0).scaled(2_000), Range { min: 0, max })
            }
            "join" => {
                let items = element_size(&args[0], &estimates[0]);
                let count = size(0);
                let gaps = Range {
                    min: count.min.saturating_sub(1),
                    max: count.max.saturating_sub(1),
                };
                let separator = if args.len() > 1 { size(1) } else { fixed(0) };
                let total = count.times(items).plus(separator.times(gaps));
                sized(total.traversal(), total)
            }
            "containsIP" | "containsCIDR" => costs(Range { min: 4, max: 16 }.traversal()),
            "sets.contains" | "sets.intersects" => costs(size(0).times(size(1)).plus(fixed(1))),
            "sets.equivalent" => costs(size(0).times(size(1)).times(fixed(2)).plus(fixed(1))),
            "validate" => costs(size(1).traversal().times(fixed(4))),
            "jsonpatch.escapeKey" => sized(size(0).traversal(), size(0).times(fixed(2))),
            "check" => costs(fixed(350_000)),
            _ => costs(fixed(1)),
        }
    }

    fn list_pass(
        &mut self,
        list: &Node,
        estimate: &Estimate,
        spent: Range,
        function: &str,
    ) -> Estimate {
        let count = size_of(list, estimate);
        let keeps = matches!(
            function,
            "distinct" | "sort" | "reverse" | "slice" | "flatten"
        );
        let size = keeps.then_some(Range {
            min: 0,
            max: count.max,
        });
        let cost = match &list.ty {
            Type::List(item) => {
                let mut each = fixed(1);
                if matches!(**item, Type::String | Type::Bytes) {
                    each = each.plus(element_size(list, estimate).traversal());
                }
                count.times(each)
            }
            _ => count.traversal(),
        };
        Estimate {
            size,
            ..plain(spent.plus(cost))
        }
    }
}

fn child(decl: &Arc<Decl>, field: &str) -> Option<Arc<Decl>> {
    match decl.field(field) {
        Some(field) => Some(field.decl.clone()),
        None => decl.items.clone(),
    }
}

fn smaller(a: Range, b: Range) -> Range {
    let max = a.max.min(b.max);
    Range {
        min: u64::from(max > 0),
        max,
    }
}

/// The size of an expression's value.
fn size_of(node: &Node, estimate: &Estimate) -> Range {
    if let Some(size) = estimate.size {
        return size;
    }
    if let Some(decl) = &estimate.decl {
        return Range {
            min: 0,
            max: decl.elements_max,
        };
    }
    if node.ty.is_scalar() {
        return fixed(1);
    }
    UNKNOWN
}

fn element_size(list: &Node, estimate: &Estimate) -> Range {
    if let Some(entries) = estimate.entries {
        return entries;
    }
    if let Some(items) = estimate.decl.as_ref().and_then(|decl| decl.items.as_ref()) {
        return Range {
            min: 0,
            max: items.elements_max,
        };
    }
    match &list.ty {
        Type::List(item) if item.is_scalar() => fixed(1),
        _ => UNKNOWN,
    }
}
