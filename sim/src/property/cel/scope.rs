//! What a condition can speak of, and the types it is checked against.
//!
//! Owns the variables' names and declarations: kinds are declared from the definitions of the setup and from the built-in
//! types, as far as an expression names them. Does not own their values (`history`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_apiserver::cel::typed::{Sizes, declare_kind};
use fake_apiserver::cel::types::{Field, ObjectType};
use fake_apiserver::cel::{Decl, Environment, Type};
use fake_apiserver::json;
use fake_apiserver::registry::Registry;
use fake_apiserver::schema;
use serde_json::Value;

/// What is assumed of sizes when the cost of an expression is estimated; a run in which there is more is stopped by the
/// budget.
const SIZES: Sizes = Sizes {
    text: 60,
    entries: 20,
};
const OBJECTS_MAX: u64 = 400;
const HISTORY_MAX: u64 = 400;
const REPLICAS_MAX: u64 = 20;

/// A variable, for documents.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its type, as a reader writes it.
    pub ty: &'static str,
    /// What it holds.
    pub says: &'static str,
}

/// All variables, in the order of the documents.
pub const VARIABLES: [Variable; 14] = [
    Variable {
        name: "objects",
        ty: "objects.KIND: list",
        says: "the live objects of a kind, in order of their names",
    },
    Variable {
        name: "named",
        ty: "named.KIND: map",
        says: "the same by name: `\"demo\"`, or `\"other/demo\"` outside the namespace `default`",
    },
    Variable {
        name: "replicas",
        ty: "list",
        says: "`name`, `operator`, `running`",
    },
    Variable {
        name: "leaders",
        ty: "map(string, list(string))",
        says: "by operator: the replicas that hold a Lease by their own last look at it",
    },
    Variable {
        name: "writes",
        ty: "list",
        says: "every change of the store so far: `by` (a replica, `workload`, `control-plane`), `operator`, `verb` (`created`, \
               `updated`, `deleted`), `resource`, `namespace`, `name`, `fields` (JSON pointers), `revision`, `at`",
    },
    Variable {
        name: "requests",
        ty: "list",
        says: "every request so far: `replica`, `operator`, `verb`, `resource`, `namespace`, `name`, `subresource`, `status` (0 \
               until the server answers), `reconcile` (the `id` of the reconcile that sent it; 0 outside), `at`",
    },
    Variable {
        name: "reconciles",
        ty: "list",
        says: "every reconcile of kube's controller so far: `id`, `replica`, `operator`, `object`, `reason`, `at`, `ended`",
    },
    Variable {
        name: "effects",
        ty: "list",
        says: "every change in the services so far: `service`, `kind` (`created`, `changed`, `deleted`, `cleaned-up`, `accepted`), \
               `object`, `key` (the idempotency key), `by` (a replica; empty where the service did it by itself), `operator`, `at`",
    },
    Variable {
        name: "calls",
        ty: "list",
        says: "every call of a service so far: `service`, `replica`, `operator`, `reconcile`, `method`, `path`, `key`, `status` (0 \
               until the service answers), `at`",
    },
    Variable {
        name: "spans",
        ty: "list",
        says: "every span of the operators so far: `replica`, `operator`, `reconcile`, `name`, `target`, `parent` (its name), \
               `fields` (map(string, string)), `at`, `ended`, `took` (0s until it has ended); needs `telemetry.spans`",
    },
    Variable {
        name: "logs",
        ty: "list",
        says: "every line that the operators logged so far: `replica`, `operator`, `reconcile`, `level`, `line`, `at`; needs \
               `telemetry.logs`",
    },
    Variable {
        name: "metrics",
        ty: "list",
        says: "the samples of each replica's last scrape: `replica`, `operator`, `name`, `labels` (map(string, string)), `value` \
               (double), `at`; needs `telemetry.scrape`",
    },
    Variable {
        name: "phase",
        ty: "string",
        says: "`safety`, `liveness`, `settled`, `forced`, `done`",
    },
    Variable {
        name: "now",
        ty: "duration",
        says: "the time since the run began",
    },
];

/// A kind that expressions may name.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) decl: Arc<Decl>,
}

/// The variables of a setup.
#[derive(Clone, Debug)]
pub struct Scope {
    environment: Environment,
    pub(super) kinds: BTreeMap<String, Kind>,
    /// What each history is a list of.
    pub(super) histories: BTreeMap<&'static str, Arc<Decl>>,
}

impl Scope {
    /// The variables for one expression in a setup with these definitions. Only kinds that the expression names are
    /// declared.
    pub fn new(source: &str, crds: &[Value]) -> Scope {
        let named = |kind: &str| {
            source
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == kind)
        };
        let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
        for crd in crds {
            if let Some((name, kind)) = custom(crd).filter(|(name, _)| named(name)) {
                kinds.entry(name.clone()).or_insert_with(|| kind(&name));
            }
        }
        for row in Registry::new().rows().filter(|row| named(&row.kind)) {
            let Some(schema) = row.schema() else { continue };
            kinds.entry(row.kind.to_string()).or_insert_with(|| Kind {
                group: row.group.to_string(),
                decl: declare_kind(schema, &row.kind, SIZES),
            });
        }
        let (text, span) = (short, || scalar(Type::Duration));
        let histories = histories();
        let replica = Decl::object(
            "Replica",
            vec![
                ("name", text()),
                ("operator", text()),
                ("running", scalar(Type::Bool)),
            ],
        );
        let by_kind = |name: &str, wrap: fn(Arc<Decl>) -> Arc<Decl>| {
            let field = |(kind, of): (&String, &Kind)| {
                let field = Field {
                    name: kind.clone(),
                    decl: wrap(of.decl.clone()),
                };
                (kind.clone(), field)
            };
            Decl::of(Type::Object(Arc::new(ObjectType {
                name: name.to_owned(),
                fields: kinds.iter().map(field).collect(),
                open: false,
            })))
        };
        let mut variables = vec![
            (
                "objects",
                by_kind("objects", |decl| list(decl, OBJECTS_MAX)),
            ),
            ("named", by_kind("named", |decl| map(decl, OBJECTS_MAX))),
            ("replicas", list(replica, REPLICAS_MAX)),
            ("leaders", map(list(text(), REPLICAS_MAX), REPLICAS_MAX)),
            ("phase", text()),
            ("now", span()),
        ];
        let lists = histories.iter();
        variables.extend(lists.map(|(name, item)| (*name, list(item.clone(), HISTORY_MAX))));
        Scope {
            environment: Environment::with(variables),
            kinds,
            histories,
        }
    }

    /// Every kind that an expression in a setup with these definitions can name, for hints.
    pub fn kinds_of(crds: &[Value]) -> Vec<String> {
        let own = crds.iter().filter_map(custom).map(|(name, _)| name);
        let rows = Registry::new();
        let all: BTreeSet<String> = own
            .chain(rows.rows().map(|row| row.kind.to_string()))
            .collect();
        all.into_iter().collect()
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// What the entries of the histories are.
fn histories() -> BTreeMap<&'static str, Arc<Decl>> {
    let (text, span) = (short, || scalar(Type::Duration));
    let (int, flag) = (|| scalar(Type::Int), || scalar(Type::Bool));
    let texts = || map(text(), SIZES.entries);
    BTreeMap::from([
        (
            "writes",
            Decl::object(
                "Write",
                vec![
                    ("by", text()),
                    ("operator", text()),
                    ("verb", text()),
                    ("resource", text()),
                    ("namespace", text()),
                    ("name", text()),
                    ("fields", list(text(), SIZES.entries)),
                    ("revision", int()),
                    ("at", span()),
                ],
            ),
        ),
        (
            "requests",
            Decl::object(
                "Request",
                vec![
                    ("replica", text()),
                    ("operator", text()),
                    ("reconcile", int()),
                    ("verb", text()),
                    ("resource", text()),
                    ("namespace", text()),
                    ("name", text()),
                    ("subresource", text()),
                    ("status", int()),
                    ("at", span()),
                ],
            ),
        ),
        (
            "reconciles",
            Decl::object(
                "Reconcile",
                vec![
                    ("id", int()),
                    ("replica", text()),
                    ("operator", text()),
                    ("object", text()),
                    ("reason", text()),
                    ("at", span()),
                    ("ended", flag()),
                ],
            ),
        ),
        (
            "effects",
            Decl::object(
                "Effect",
                vec![
                    ("service", text()),
                    ("kind", text()),
                    ("object", text()),
                    ("key", text()),
                    ("by", text()),
                    ("operator", text()),
                    ("at", span()),
                ],
            ),
        ),
        (
            "calls",
            Decl::object(
                "Call",
                vec![
                    ("service", text()),
                    ("replica", text()),
                    ("operator", text()),
                    ("reconcile", int()),
                    ("method", text()),
                    ("path", text()),
                    ("key", text()),
                    ("status", int()),
                    ("at", span()),
                ],
            ),
        ),
        (
            "spans",
            Decl::object(
                "Span",
                vec![
                    ("replica", text()),
                    ("operator", text()),
                    ("reconcile", int()),
                    ("name", text()),
                    ("target", text()),
                    ("parent", text()),
                    ("fields", texts()),
                    ("at", span()),
                    ("ended", flag()),
                    ("took", span()),
                ],
            ),
        ),
        (
            "logs",
            Decl::object(
                "LogLine",
                vec![
                    ("replica", text()),
                    ("operator", text()),
                    ("reconcile", int()),
                    ("level", text()),
                    ("line", text()),
                    ("at", span()),
                ],
            ),
        ),
        (
            "metrics",
            Decl::object(
                "Sample",
                vec![
                    ("replica", text()),
                    ("operator", text()),
                    ("name", text()),
                    ("labels", texts()),
                    ("value", scalar(Type::Double)),
                    ("at", span()),
                ],
            ),
        ),
    ])
}

fn sized(of: &Decl, items: Arc<Decl>, elements_max: u64) -> Arc<Decl> {
    Arc::new(Decl {
        ty: of.ty.clone(),
        elements_max,
        bytes_min: 1,
        items: Some(items),
        list_kind: fake_apiserver::cel::types::ListKind::Atomic,
    })
}

/// A text that is not long.
fn short() -> Arc<Decl> {
    bounded(Type::String, SIZES.text)
}

/// What takes one look to compare.
fn scalar(ty: Type) -> Arc<Decl> {
    bounded(ty, 1)
}

fn bounded(ty: Type, elements_max: u64) -> Arc<Decl> {
    Arc::new(Decl {
        ty,
        elements_max,
        bytes_min: 1,
        items: None,
        list_kind: fake_apiserver::cel::types::ListKind::Atomic,
    })
}

fn list(items: Arc<Decl>, elements_max: u64) -> Arc<Decl> {
    sized(&Decl::list(items.clone()), items, elements_max)
}

fn map(values: Arc<Decl>, elements_max: u64) -> Arc<Decl> {
    sized(&Decl::map(values.clone()), values, elements_max)
}

/// The kind that a definition makes: its name, and the making of its declaration. Objects are seen as they are stored.
fn custom(crd: &Value) -> Option<(String, impl FnOnce(&str) -> Kind)> {
    let name = crd.pointer("/spec/names/kind")?.as_str()?.to_owned();
    let group = crd.pointer("/spec/group")?.as_str()?.to_owned();
    let versions = crd.pointer("/spec/versions")?.as_array()?;
    let stored = versions.iter().find(|v| v["storage"] == true)?;
    let open_api = stored.pointer("/schema/openAPIV3Schema")?.to_string();
    let open_api = json::parse(open_api.as_bytes()).ok()?;
    let make = move |name: &str| Kind {
        group,
        decl: declare_kind(&schema::build(&open_api), name, SIZES),
    };
    Some((name, make))
}
