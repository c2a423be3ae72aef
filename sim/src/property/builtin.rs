//! The built-in properties by name: what each says, what can be set, and what a run must do for it.
//!
//! Owns the table that documents, schemas and `list` are made from, and the reading of parameters. Does not own what a
//! property sees: that is said in its own file.

use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::bounded_queue::BoundedQueue;
use super::bounded_requests::BoundedRequests;
use super::converges::Converges;
use super::deadline_honoured::DeadlineHonoured;
use super::finalizer_covers_cleanup::FinalizerCoversCleanup;
use super::idempotent::Idempotent;
use super::no_duplicate_create::NoDuplicateCreate;
use super::no_lost_update::NoLostUpdate;
use super::no_orphans::NoOrphans;
use super::no_panic::NoPanic;
use super::no_stall::NoStall;
use super::no_task_leak::NoTaskLeak;
use super::no_write_after_deposed::NoWriteAfterDeposed;
use super::owner_refs_kept::OwnerRefsKept;
use super::safe_delete::SafeDelete;
use super::same_end_state::{LevelTriggered, SameEndState};
use super::single_leader::SingleLeader;
use super::status_not_ahead_of_spec::StatusNotAheadOfSpec;
use super::telemetry::{
    BoundedMetric, MetricRules, OneTenantPerSeries, ReadyAfterSync, TracedWrites, WholeTraces,
};
use super::unique_effect::UniqueEffect;
use super::{Property, PropertySpec};

/// A built-in property.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// `no-lost-update`.
    pub name: &'static str,
    /// What it says, in a sentence without an end.
    pub says: &'static str,
    /// What it does not see, in a few words.
    pub unseen: &'static str,
    /// What can be set.
    pub parameters: &'static [Parameter],
    /// What a run must do so that there is something to judge.
    pub needs: Needs,
    /// A convention that an operator follows or does not: one without it is not wrong.
    pub convention: bool,
    make: fn(&Value) -> Result<Maker, String>,
}

/// Something that can be set in a built-in property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// `atMost`.
    pub name: &'static str,
    /// What it is unless set, as a scenario file would write it; empty where there is none.
    pub default: &'static str,
    /// What it says, in a few words.
    pub says: &'static str,
}

/// What a run must do so that a property has something to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Once settled, everything is reconciled once more ([`Settle::force`](crate::setup::Settle::force)).
    pub forced: bool,
    /// The fault-free run is made first, to compare with.
    pub reference: bool,
}

/// A built-in property that cannot be had so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuiltinError {
    /// There is none of that name: take one of [`names`].
    #[error("no property is called `{0}`")]
    Unknown(String),
    /// Its parameters do not fit it: the message says what does.
    #[error("`{name}`: {message}")]
    Parameters {
        /// The property.
        name: String,
        /// What is wrong with them.
        message: String,
    },
}

/// Makes a property at the start of each run.
pub(crate) type Maker = Arc<dyn Fn() -> Box<dyn Property> + Send + Sync>;

/// A property that can be tuned.
pub(super) trait Tuned: Property + Sized + 'static {
    /// What can be set.
    type Params: DeserializeOwned + Default + Send + Sync + 'static;
    /// The property so set.
    fn tuned(params: &Self::Params) -> Self;
    /// What is wrong with parameters that can be read.
    fn check(_params: &Self::Params) -> Result<(), String> {
        Ok(())
    }
}

const NOTHING: Needs = Needs {
    forced: false,
    reference: false,
};
const FORCED: Needs = Needs {
    forced: true,
    ..NOTHING
};
const REFERENCE: Needs = Needs {
    reference: true,
    ..NOTHING
};
const IGNORE: Parameter = Parameter {
    name: "ignore",
    default: "[]",
    says: "fields that do not count, as JSON pointers: [/status/by]",
};

/// All of them, in order of their names.
pub const BUILTIN: [Builtin; 26] = [
    Builtin {
        convention: true,
        ..tunable::<BoundedMetric>(
            "bounded-metric",
            "a metric that the operator shows, such as the length of a queue, stays within a bound",
            "what happens between two scrapes; that a metric of that name is shown at all",
            &[
                Parameter {
                    name: "metric",
                    default: "",
                    says: "its name; every metric with the word `queue` in its name, unless set",
                },
                Parameter {
                    name: "atMost",
                    default: "100",
                    says: "the bound",
                },
            ],
            NOTHING,
        )
    },
    tunable::<BoundedQueue>(
        "bounded-queue",
        "no replica has more requests, reconciles or tasks at once than so many",
        "what waits in a channel without a task of its own",
        &[Parameter {
            name: "atMost",
            default: "100",
            says: "so many of one sort at once are few enough",
        }],
        NOTHING,
    ),
    tunable::<BoundedRequests>(
        "bounded-requests",
        "no replica asks the same thing more often than so many times within so long",
        "a storm that is spread over many objects; effects outside the API server",
        &[
            Parameter {
                name: "per",
                default: "10s",
                says: "the window in which requests are counted",
            },
            Parameter {
                name: "atMost",
                default: "100",
                says: "so many of one kind are too few to be a storm",
            },
        ],
        NOTHING,
    ),
    plain::<Converges>(
        "converges",
        "once faults and workload are over, the system comes to rest within `settle.bound`",
        "a loop that is slower than ten requests per second and changes nothing, or that asks for something else each time; a run with a fixed end",
    ),
    tunable::<DeadlineHonoured>(
        "deadline-honoured",
        "no reconcile takes longer than its deadline, whatever the API server does",
        "deadlines of single requests; work outside of kube's reconcile spans",
        &[Parameter {
            name: "within",
            default: "30s",
            says: "the deadline, from the start of the reconcile",
        }],
        NOTHING,
    ),
    plain::<FinalizerCoversCleanup>(
        "finalizer-covers-cleanup",
        "a finalizer goes after the cleanup it stands for",
        "cleanup outside the cluster; children without a controller reference",
    ),
    Builtin {
        needs: FORCED,
        ..plain::<Idempotent>(
            "idempotent",
            "once at rest, another reconcile of everything writes nothing",
            "effects outside the API server",
        )
    },
    tunable::<LevelTriggered>(
        "level-triggered",
        "a state that an operator missed changes nothing about the end",
        "a run that does not settle; names that an operator draws itself",
        &[IGNORE],
        REFERENCE,
    ),
    Builtin {
        convention: true,
        ..tunable::<MetricRules>(
            "metric-rules",
            "names are `namespace_subsystem_name_unit`, counters end in `_total`, a metric has few series",
            "series beyond what a run creates; whether a unit is the right one",
            &[Parameter {
                name: "series",
                default: "50",
                says: "so many series of one metric are few enough",
            }],
            NOTHING,
        )
    },
    plain::<NoDuplicateCreate>(
        "no-duplicate-create",
        "one cause does not lead to two objects",
        "twins with names made by the operator itself; twins without a `generateName`; one that reached the cache after the operator had looked there",
    ),
    plain::<NoLostUpdate>(
        "no-lost-update",
        "no field is overwritten by a writer that had not seen its value",
        "writes of the workload; a replica that overwrites its own earlier write; a value that happens to be the same",
    ),
    plain::<NoOrphans>(
        "no-orphans",
        "nothing is left whose owner is gone",
        "objects that name no owner",
    ),
    plain::<NoPanic>(
        "no-panic",
        "no replica panics",
        "panics on threads that the operator started itself",
    ),
    tunable::<NoStall>(
        "no-stall",
        "no reconcile is silent for longer than 50 ms; says what it waited for",
        "what a task waits for that a reconcile waits for; reconciles outside of kube's controller; it is for timed schedules",
        &[
            Parameter {
                name: "over",
                default: "50ms",
                says: "a shorter silence does not count",
            },
            Parameter {
                name: "ignore",
                default: "[]",
                says: "waits that do not count: api, channel, lock, pause, timer",
            },
        ],
        NOTHING,
    ),
    plain::<NoTaskLeak>(
        "no-task-leak",
        "a replica that was told to stop leaves no task behind",
        "tasks of a replica that crashed, or that no `restart` step tells to stop",
    ),
    plain::<NoWriteAfterDeposed>(
        "no-write-after-deposed",
        "no write without a version lands once another replica holds the Lease",
        "a replica that never led; a Lease that has run out and that nobody has taken",
    ),
    convention::<OneTenantPerSeries>(
        "one-tenant-per-series",
        "series that name the same `namespace` name the same `tenant`",
        "series without these two labels, and a mix-up that is the same from the first count on",
    ),
    plain::<OwnerRefsKept>(
        "owner-refs-kept",
        "no owner reference goes by the hand of a writer that did not know it or did not set it",
        "references that the workload takes away; those that an operator adds and takes away itself",
    ),
    convention::<ReadyAfterSync>(
        "ready-after-sync",
        "no webhook is served before the replica's first lists have been answered",
        "caches filled by a watch alone; lists that are asked for only later",
    ),
    plain::<SafeDelete>(
        "safe-delete",
        "nothing is deleted on the word of a stale read",
        "a delete that is wrong because of what another object says; `deletecollection`",
    ),
    tunable::<SameEndState>(
        "same-end-state",
        "the objects in the end are those of the fault-free run",
        "a run that does not settle; effects outside the API server; results that depend on who came first are no case for it",
        &[IGNORE],
        REFERENCE,
    ),
    plain::<SingleLeader>(
        "single-leader",
        "no two replicas hold one Lease at once",
        "holders under another name than the replica's identity; locks that are no Leases",
    ),
    plain::<StatusNotAheadOfSpec>(
        "status-not-ahead-of-spec",
        "`observedGeneration` is honest, and never goes back",
        "a status without `observedGeneration`",
    ),
    convention::<TracedWrites>(
        "traced-writes",
        "every write belongs to a reconcile or a webhook call and carries a W3C `traceparent`",
        "whether the trace named is the right one",
    ),
    tunable::<UniqueEffect>(
        "unique-effect",
        "nothing is created or deleted more often than in the fault-free run",
        "an effect that replaces another one of its kind; updates; a workload too quick for the fault-free run",
        &[Parameter {
            name: "exactly",
            default: "false",
            says: "whether fewer than in the fault-free run count too",
        }],
        REFERENCE,
    ),
    convention::<WholeTraces>(
        "whole-traces",
        "traces that a collector took are whole, and those in which a request failed were sent",
        "traces exported in another form, and whether a trace that was not kept should have been",
    ),
];

const fn plain<P: Property + Default + 'static>(
    name: &'static str,
    says: &'static str,
    unseen: &'static str,
) -> Builtin {
    Builtin {
        name,
        says,
        unseen,
        parameters: &[],
        needs: NOTHING,
        convention: false,
        make: untuned::<P>,
    }
}

const fn tunable<P: Tuned>(
    name: &'static str,
    says: &'static str,
    unseen: &'static str,
    parameters: &'static [Parameter],
    needs: Needs,
) -> Builtin {
    Builtin {
        name,
        says,
        unseen,
        parameters,
        needs,
        convention: false,
        make: tuned::<P>,
    }
}

const fn convention<P: Property + Default + 'static>(
    name: &'static str,
    says: &'static str,
    unseen: &'static str,
) -> Builtin {
    Builtin {
        convention: true,
        ..plain::<P>(name, says, unseen)
    }
}

/// The names of the built-in properties that every right operator has, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    let general = BUILTIN.iter().filter(|builtin| !builtin.convention);
    general.map(|builtin| builtin.name)
}

/// The names of all built-in properties, conventions among them, in order.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|builtin| builtin.name)
}

/// The built-in property of that name, as it is unless set otherwise.
pub fn builtin(name: &str) -> Option<PropertySpec> {
    builtin_with(name, &Value::Null).ok()
}

/// The built-in property of that name, with parameters: `{"per": "1m", "atMost": 60}`; null for none.
pub fn builtin_with(name: &str, params: &Value) -> Result<PropertySpec, BuiltinError> {
    let known = BUILTIN.iter().find(|builtin| builtin.name == name);
    let builtin = known.ok_or_else(|| BuiltinError::Unknown(name.to_owned()))?;
    let make = (builtin.make)(params).map_err(|message| BuiltinError::Parameters {
        name: name.to_owned(),
        message,
    })?;
    Ok(PropertySpec {
        name: name.to_owned(),
        make,
        sometimes: false,
        needs: builtin.needs,
    })
}

fn untuned<P: Property + Default + 'static>(params: &Value) -> Result<Maker, String> {
    let none = params.is_null() || params.as_object().is_some_and(serde_json::Map::is_empty);
    if !none {
        return Err("it takes no parameters".to_owned());
    }
    Ok(Arc::new(|| Box::new(P::default())))
}

fn tuned<P: Tuned>(params: &Value) -> Result<Maker, String> {
    let params = match params {
        Value::Null => P::Params::default(),
        params => P::Params::deserialize(params).map_err(|error| error.to_string())?,
    };
    P::check(&params)?;
    Ok(Arc::new(move || Box::new(P::tuned(&params))))
}

/// Reads a duration as scenario files write it: `500ms`, `1m30s`.
pub(super) fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "`{text}` is not a duration: write a number with a unit: 250us, 500ms, 2s, 1m30s, 1h"
        ))
    })
}

fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = None;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let unit_us: f64 = match &rest[..end] {
            "us" | "µs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            "m" => 60e6,
            "h" => 3600e6,
            _ => return None,
        };
        rest = rest[end..].trim_start();
        let part = Duration::try_from_secs_f64(number * unit_us / 1e6).ok()?;
        sum = Some(sum.unwrap_or(Duration::ZERO).checked_add(part)?);
    }
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(name: &str, params: Value) -> String {
        let error = builtin_with(name, &params).expect_err("it does not fit");
        error.to_string()
    }

    #[test]
    fn names_are_in_order_and_found() {
        let all: Vec<&str> = all_names().collect();
        assert!(all.is_sorted());
        assert!(all.iter().all(|name| builtin(name).is_some()));
    }

    #[test]
    fn every_parameter_takes_its_own_default() {
        for builtin in BUILTIN {
            for parameter in builtin.parameters {
                let number = parameter.default.parse::<u64>().ok().map(|n| json!(n));
                let word = match parameter.default {
                    "false" => json!(false),
                    "[]" => json!([]),
                    text => json!(text),
                };
                let value = number.unwrap_or(word);
                if parameter.default.is_empty() {
                    continue;
                }
                let params = json!({parameter.name: value});
                let made = builtin_with(builtin.name, &params);
                assert!(made.is_ok(), "{}: {params}: {made:?}", builtin.name);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        assert_eq!(
            said("no-luck", json!(null)),
            "no property is called `no-luck`"
        );
        assert_eq!(
            said("no-panic", json!({"per": "1m"})),
            "`no-panic`: it takes no parameters"
        );
        assert_eq!(
            said("bounded-requests", json!({"most": 1})),
            "`bounded-requests`: unknown field `most`, expected `per` or `atMost`"
        );
        assert_eq!(
            said("bounded-requests", json!({"per": "soon"})),
            "`bounded-requests`: `soon` is not a duration: write a number with a unit: 250us, 500ms, 2s, 1m30s, 1h"
        );
    }

    #[test]
    fn durations_are_read() {
        let us = |text| duration(text).map(|duration| duration.as_micros());
        assert_eq!(us("1m30s"), Some(90_000_000));
        assert_eq!((us("250us"), us("1.5s")), (Some(250), Some(1_500_000)));
        assert_eq!([us(""), us("5"), us("s"), us("1y")], [None; 4]);
    }
}
