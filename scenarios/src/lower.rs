//! From a case to the engine's plain input.
//!
//! Owns the defaults of the file format that are not the engine's, the unrolling of repeated steps, and every check
//! that needs more than the shape of the file: operators, kinds, properties and objects must exist. Does not own the
//! meaning of the input (`sim::setup`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sim::operator::Operators;
use sim::property::PropertySpec;
use sim::setup::{self, Setup, Target, WorkloadStep};
use sim::time::{DurationRange, SimTime};

use crate::actors;
use crate::error::{Error, Problem, Result};
use crate::expect::Expect;
use crate::faults::{Fault, Moment, Requests, Verb};
use crate::format::{Engine, Schedule, Until};
use crate::kinds::Kinds;
use crate::load::{Case, Object};
use crate::property;
use crate::quantity::{SkewRange, SpanRange};
use crate::workload::{Patch, Propagation, Step};

/// The seeds explored when neither the file nor the user says.
pub const SEEDS: std::ops::Range<u64> = 0..1000;

/// How to make an operator's name known, for the error about an unknown one.
const REGISTER: &str = "register more with Operators::new().add(\"NAME\", |cx| …) in a tests/scenarios.rs of your own \
                        (docs/testing-your-operator.md)";

/// What the API server says against an object of a case, at the object's place.
pub fn refused(case: &Case, error: &sim::world::SetupError) -> Error {
    let named =
        |o: &&Object| error.what == format!("{} {:?}", o.text("/kind"), o.text("/metadata/name"));
    let place = match case.objects.iter().find(named) {
        Some(object) => object.place.clone(),
        None => case.place(&["cluster"]),
    };
    Error::value(
        &place,
        error.to_string(),
        "the simulated API server checks objects as a real one does; mend the object",
    )
}

/// Lowers a case into a run's input.
pub fn lower(case: &Case, operators: &Operators) -> Result<Setup> {
    Lowering::new(case).setup(operators)
}

struct Lowering<'a> {
    case: &'a Case,
    kinds: Kinds,
}

/// The objects that may be spoken of: kind, namespace, name.
type Present = BTreeSet<(String, String, String)>;

impl<'a> Lowering<'a> {
    fn new(case: &'a Case) -> Self {
        let crds: Vec<Object> = case.objects.iter().filter(|o| is_crd(o)).cloned().collect();
        Self {
            case,
            kinds: Kinds::new(&crds),
        }
    }

    fn setup(&self, operators: &Operators) -> Result<Setup> {
        let scenario = &self.case.scenario;
        if scenario.engine != Engine::Sim {
            return Err(Error::value(
                &self.case.place(&["engine"]),
                format!("not run here (engine {})", scenario.engine.name()),
                "the simulator runs scenarios of `engine: sim`, which is what a file without the key has",
            ));
        }
        let mut crds = Vec::new();
        let mut objects = Vec::new();
        let mut present = Present::new();
        for object in &self.case.objects {
            if is_crd(object) {
                crds.push(object.json.clone());
            } else {
                objects.push(self.object(object, &mut present)?);
            }
        }
        if scenario.operators.is_empty() {
            return Err(Error::at(
                &self.case.place(&[]),
                Problem::MissingKey {
                    key: "operators".to_owned(),
                },
            ));
        }
        let defaults = Setup::default();
        let properties = self.properties()?;
        Ok(Setup {
            name: scenario.scenario.clone(),
            servers: self.servers()?,
            crds,
            objects,
            actors: self.actors()?.unwrap_or(defaults.actors),
            operators: self.operators(operators)?,
            timing: self.timing(),
            workload: self.workload(present)?,
            services: self.services()?,
            telemetry: setup::Telemetry {
                logs: scenario.telemetry.logs,
                spans: scenario.telemetry.spans,
                scrape: scenario.telemetry.scrape.map(|every| every.0),
            },
            faults: self.faults()?,
            settle: self.settle(&properties),
            properties,
            until: match scenario.until {
                Until::Settled => setup::Until::Settled,
                Until::Time(span) => setup::Until::Time(SimTime::after(span.0)),
            },
            mode: match scenario.explore.schedule {
                Schedule::Timed => setup::Mode::Timed,
                Schedule::Controlled => setup::Mode::Controlled,
                Schedule::Portfolio => setup::Mode::Portfolio,
            },
        })
    }

    fn actors(&self) -> Result<Option<Vec<setup::Actor>>> {
        let said = self.case.scenario.cluster.actors.as_deref();
        let actors = said.map(actors::lower).transpose();
        actors.map_err(|twice| {
            Error::value(
                &self.case.place(&["cluster", "actors"]),
                format!("the actor `{twice}` is named twice"),
                "name it once, with all its settings",
            )
        })
    }

    /// How many API servers there are: one where no `cluster` says it.
    fn servers(&self) -> Result<u32> {
        let cluster = self.case.tree.get("cluster");
        match cluster.and_then(|cluster| cluster.get("apiServers")) {
            Some(_) => self.count(
                &["cluster", "apiServers"],
                self.case.scenario.cluster.api_servers,
            ),
            None => Ok(1),
        }
    }

    /// A small number that costs something: 1 to 9.
    fn count(&self, path: &[&str], n: u32) -> Result<u32> {
        match n {
            1..=9 => Ok(n),
            _ => Err(Error::value(
                &self.case.place(path),
                format!("{n} is out of range"),
                "write a number from 1 to 9",
            )),
        }
    }

    fn object(&self, object: &Object, present: &mut Present) -> Result<Json> {
        let kind = self.kinds.of(object)?;
        let mut json = object.json.clone();
        if kind.namespaced && object.text("/metadata/namespace").is_empty() {
            json["metadata"]["namespace"] = json!("default");
        }
        let text = |key: &str| {
            json["metadata"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        present.insert((
            object.text("/kind").to_owned(),
            text("namespace"),
            text("name"),
        ));
        Ok(json)
    }

    fn operators(&self, known: &Operators) -> Result<Vec<setup::OperatorSetup>> {
        let mut list = Vec::new();
        for (name, operator) in &self.case.scenario.operators {
            let run = known.get(&operator.run).ok_or_else(|| {
                Error::at(
                    &self.case.place(&["operators", name, "run"]),
                    Problem::UnknownWord {
                        what: "operator",
                        word: operator.run.clone(),
                        known: known.names().map(str::to_owned).collect(),
                        more: Some(REGISTER.to_owned()),
                    },
                )
            })?;
            list.push(setup::OperatorSetup {
                name: name.clone(),
                replicas: self.count(&["operators", name, "replicas"], operator.replicas)?,
                namespace: operator
                    .namespace
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
                run,
            });
        }
        Ok(list)
    }

    fn services(&self) -> Result<Vec<sim::service::ServiceSetup>> {
        let mut list = Vec::new();
        for (name, service) in &self.case.scenario.services {
            if let Some(key) = service.misplaced() {
                return Err(Error::value(
                    &self.case.place(&["services", name, key]),
                    format!("`{key}` means nothing to a service of this kind"),
                    "cloud has cleanup and limit, alerts has rate, collector has work and capacity",
                ));
            }
            list.push(service.setup(name));
        }
        Ok(list)
    }

    fn timing(&self) -> setup::Timing {
        let timing = &self.case.scenario.timing;
        let default = setup::Timing::default();
        let or = |said: Option<SpanRange>, default| said.map_or(default, range);
        setup::Timing {
            request: or(timing.request, default.request),
            watch: or(timing.watch, default.watch),
            cache: or(timing.cache, default.cache),
            chore: or(timing.actors, default.chore),
            bookmark: or(timing.bookmark, default.bookmark),
        }
    }

    fn settle(&self, properties: &[PropertySpec]) -> setup::Settle {
        let settle = &self.case.scenario.settle;
        let default = setup::Settle::default();
        setup::Settle {
            window: settle.window.map_or(default.window, |s| s.0),
            bound: settle.bound.map_or(default.bound, |s| s.0),
            noise: settle.noise.clone(),
            force: properties.iter().any(|p| p.needs.forced),
            ..default
        }
    }

    fn properties(&self) -> Result<Vec<PropertySpec>> {
        let mut list: Vec<_> = sim::property::builtin("no-panic").into_iter().collect();
        let listed = &self.case.scenario.properties;
        for (i, property) in listed.iter().enumerate() {
            let spec = property::lower(self.case, i, property)?;
            if property.name != "no-panic" {
                list.push(spec); // `no-panic` always is.
            }
        }
        if let Some(Expect::Violates(names)) = &self.case.scenario.expect {
            for (i, name) in names.iter().enumerate() {
                let at = ["expect", "violates", &i.to_string()];
                if !sim::property::all_names().any(|known| known == name)
                    && !listed.iter().any(|p| p.name == *name)
                {
                    return Err(property::unknown(self.case, &at, name));
                }
                if name != "no-panic" && !listed.iter().any(|p| p.name == *name) {
                    return Err(Error::value(
                        &self.case.place(&at),
                        format!("`{name}` is expected to fail but not checked"),
                        "add it to `properties`",
                    ));
                }
            }
            if names.is_empty() {
                return Err(Error::value(
                    &self.case.place(&["expect", "violates"]),
                    "no property is named",
                    "write `expect: holds`, or name the properties that fail",
                ));
            }
        }
        for (name, source) in &self.case.scenario.figures {
            list.push(crate::cel::figure(self.case, name, source)?);
        }
        Ok(list)
    }

    fn workload(&self, mut present: Present) -> Result<Vec<WorkloadStep>> {
        let mut steps: Vec<(usize, &Step)> =
            self.case.scenario.workload.iter().enumerate().collect();
        steps.sort_by_key(|(_, step)| step.at.map_or(Duration::ZERO, |s| s.0));
        let mut list = Vec::new();
        for (i, step) in steps {
            let times = self.times(i, step)?;
            for n in 0..times {
                let pause = step.every.map_or(Duration::ZERO, |s| s.0);
                let at = SimTime::after(step.at.map_or(Duration::ZERO, |s| s.0) + pause * n);
                for action in self.actions(i, step, n, &mut present)? {
                    list.push(WorkloadStep { at, action });
                }
            }
        }
        list.sort_by_key(|step| step.at);
        Ok(list)
    }

    fn times(&self, i: usize, step: &Step) -> Result<u32> {
        match (step.every, step.times) {
            (None, None) => Ok(1),
            (Some(_), Some(n @ 1..=100_000)) => Ok(n),
            (Some(_), Some(n)) => Err(Error::value(
                &self.case.place(&["workload", &i.to_string(), "times"]),
                format!("{n} is out of range"),
                "write a number from 1 to 100000",
            )),
            _ => Err(Error::value(
                &self.case.place(&["workload", &i.to_string()]),
                "`every` and `times` go together",
                "write {every: 500ms, times: 4, …}",
            )),
        }
    }

    fn actions(
        &self,
        i: usize,
        step: &Step,
        n: u32,
        present: &mut Present,
    ) -> Result<Vec<setup::Action>> {
        let index = i.to_string();
        let at = |key: &'static str| ["workload", &index, key].map(str::to_owned);
        let one = match step {
            Step {
                create: Some(_), ..
            } => "create",
            Step { patch: Some(_), .. } => "patch",
            Step {
                replace: Some(_), ..
            } => "replace",
            Step {
                annotate: Some(_), ..
            } => "annotate",
            Step {
                delete: Some(_), ..
            } => "delete",
            Step {
                restart: Some(_), ..
            } => "restart",
            _ => "",
        };
        let count = [
            step.create.is_some(),
            step.patch.is_some(),
            step.replace.is_some(),
            step.annotate.is_some(),
            step.delete.is_some(),
            step.restart.is_some(),
        ];
        if count.iter().filter(|c| **c).count() != 1 {
            return Err(Error::value(
                &self.case.place(&["workload", &index]),
                "a step does exactly one thing",
                "write one of create, patch, replace, annotate, delete, restart; another step for another thing",
            ));
        }
        let path = at(one);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let objects = self.case.created.get(&i).map_or(&[][..], Vec::as_slice);
        Ok(match step {
            Step {
                create: Some(_), ..
            } => objects
                .iter()
                .map(|o| {
                    Ok(setup::Action::Create {
                        object: self.object(o, present)?,
                    })
                })
                .collect::<Result<_>>()?,
            Step {
                replace: Some(_), ..
            } => objects
                .iter()
                .map(|o| {
                    let object = self.object(o, &mut Present::new())?;
                    let target = target_of(&object);
                    self.must_exist(&path, &target, step, present)?;
                    Ok(setup::Action::Replace { object })
                })
                .collect::<Result<_>>()?,
            Step {
                patch: Some(patch), ..
            } => {
                let target =
                    self.target(&path, &patch.kind, patch.namespace.as_ref(), &patch.name)?;
                self.must_exist(&path, &target, step, present)?;
                let (kind, mut body) = self.patch(&path, patch)?;
                if kind == setup::PatchType::Apply {
                    body["apiVersion"] = json!(target.api_version);
                    body["kind"] = json!(target.kind);
                }
                vec![setup::Action::Patch {
                    target,
                    subresource: patch.subresource.clone(),
                    patch: kind,
                    body,
                }]
            }
            Step {
                annotate: Some(a), ..
            } => {
                let target = self.target(&path, &a.kind, a.namespace.as_ref(), &a.name)?;
                self.must_exist(&path, &target, step, present)?;
                vec![setup::Action::Patch {
                    target,
                    subresource: None,
                    patch: setup::PatchType::Merge,
                    body: json!({"metadata": {"annotations": {&*a.key: format!("{}.{}", i + 1, n + 1)}}}),
                }]
            }
            Step {
                delete: Some(delete),
                ..
            } => {
                let target =
                    self.target(&path, &delete.kind, delete.namespace.as_ref(), &delete.name)?;
                self.must_exist(&path, &target, step, present)?;
                vec![setup::Action::Delete {
                    target,
                    propagation_policy: delete.propagation.map(|p| {
                        match p {
                            Propagation::Foreground => "Foreground",
                            Propagation::Background => "Background",
                            Propagation::Orphan => "Orphan",
                        }
                        .to_owned()
                    }),
                }]
            }
            Step {
                restart: Some(restart),
                ..
            } => {
                let mut path = path;
                path.push("operator");
                vec![setup::Action::Restart {
                    operator: self.operator(&path, &restart.operator)?,
                    down: restart.down.0,
                }]
            }
            _ => unreachable!("exactly one action was counted"),
        })
    }

    fn patch(&self, path: &[&str], patch: &Patch) -> Result<(setup::PatchType, Json)> {
        match (&patch.merge, &patch.strategic, &patch.json, &patch.apply) {
            (Some(m), None, None, None) => Ok((setup::PatchType::Merge, json!(m))),
            (None, Some(m), None, None) => Ok((setup::PatchType::Strategic, json!(m))),
            (None, None, Some(m), None) => Ok((setup::PatchType::Json, json!(m))),
            (None, None, None, Some(m)) => Ok((setup::PatchType::Apply, json!(m))),
            _ => Err(Error::value(
                &self.case.place(path),
                "a patch is of exactly one type",
                "write one of merge, strategic, json, apply",
            )),
        }
    }

    fn target(
        &self,
        path: &[&str],
        kind: &str,
        namespace: Option<&String>,
        name: &str,
    ) -> Result<Target> {
        let mut at = path.to_vec();
        at.push("kind");
        let known = self.kinds.get(kind, &self.case.place(&at))?;
        let namespace = match (known.namespaced, namespace) {
            (true, Some(namespace)) => namespace.clone(),
            (true, None) => "default".to_owned(),
            (false, None) => String::new(),
            (false, Some(_)) => {
                at.pop();
                at.push("namespace");
                return Err(Error::value(
                    &self.case.place(&at),
                    format!("`{kind}` is cluster-scoped"),
                    "remove `namespace`",
                ));
            }
        };
        Ok(Target {
            api_version: known.api_version.clone(),
            kind: kind.to_owned(),
            namespace,
            name: name.to_owned(),
        })
    }

    fn must_exist(
        &self,
        path: &[&str],
        target: &Target,
        step: &Step,
        present: &Present,
    ) -> Result<()> {
        let key = (
            target.kind.clone(),
            target.namespace.clone(),
            target.name.clone(),
        );
        if step.if_present || present.contains(&key) {
            return Ok(());
        }
        let place = self.case.place(&[path, &["name"]].concat());
        let there: Vec<String> = present
            .iter()
            .filter(|(kind, ..)| *kind == target.kind)
            .map(|(_, namespace, name)| match namespace.as_str() {
                "" | "default" => name.clone(),
                other => format!("{other}/{name}"),
            })
            .collect();
        let there = match there.is_empty() {
            true => String::new(),
            false => format!("; of this kind there are: {}", there.join(", ")),
        };
        Err(Error::value(
            &place,
            format!(
                "no {} `{}` exists when this step is due",
                target.kind, target.name
            ),
            format!(
                "add it to `cluster.objects`, create it in an earlier step, or, if an operator makes it, say `ifPresent: true`{there}"
            ),
        ))
    }

    fn operator(&self, path: &[&str], name: &str) -> Result<String> {
        if self.case.scenario.operators.contains_key(name) {
            return Ok(name.to_owned());
        }
        Err(Error::at(
            &self.case.place(path),
            Problem::UnknownWord {
                what: "operator",
                word: name.to_owned(),
                known: self.case.scenario.operators.keys().cloned().collect(),
                more: Some("meant is a key under `operators`".to_owned()),
            },
        ))
    }

    fn faults(&self) -> Result<setup::FaultPlan> {
        let faults = &self.case.scenario.faults;
        let mut from = Vec::new();
        for (i, fault) in faults.from.iter().enumerate() {
            self.fault(&i.to_string(), fault, &mut from)?;
        }
        Ok(setup::FaultPlan {
            at_most: if from.is_empty() { 0 } else { faults.at_most },
            from,
        })
    }

    fn fault(&self, i: &str, fault: &Fault, list: &mut Vec<setup::Fault>) -> Result<()> {
        let operator = |word: &str, name: &Option<String>| match name {
            Some(name) => self
                .operator(&["faults", "from", i, word, "operator"], name)
                .map(Some),
            None => Ok(None),
        };
        let kind = |word: &str, name: &Option<String>| match name {
            Some(name) => {
                self.kinds
                    .get(name, &self.case.place(&["faults", "from", i, word, "kind"]))?;
                Ok(Some(name.clone()))
            }
            None => Ok(None),
        };
        list.push(match fault {
            Fault::Crash(f) => setup::Fault::Crash {
                operator: operator("crash", &f.operator)?,
                after: match f.after {
                    Moment::AnyWrite => setup::CrashPoint::AnyWrite,
                    Moment::AnyRequest => setup::CrashPoint::AnyRequest,
                    Moment::AnyDelivery => setup::CrashPoint::AnyDelivery,
                },
                restart: range(f.restart),
            },
            Fault::Pause(f) => setup::Fault::Pause {
                operator: operator("pause", &f.operator)?,
                lasting: range(f.r#for),
            },
            Fault::ClockSkew(f) => setup::Fault::ClockSkew {
                operator: operator("clock-skew", &f.operator)?,
                by: skew(f.by),
            },
            Fault::LoseReply(f) => setup::Fault::LoseReply {
                on: self.requests(i, "lose-reply", f)?,
            },
            Fault::StallReply(f) => {
                let on = Requests {
                    verbs: f.verbs.clone(),
                    kinds: f.kinds.clone(),
                    operator: f.operator.clone(),
                    webhooks: Vec::new(),
                    services: f.services.clone(),
                };
                setup::Fault::StallReply {
                    on: self.requests(i, "stall-reply", &on)?,
                    lasting: range(f.r#for),
                }
            }
            Fault::Refuse(f) => {
                let on = Requests {
                    verbs: f.verbs.clone(),
                    kinds: f.kinds.clone(),
                    operator: f.operator.clone(),
                    webhooks: f.webhooks.clone(),
                    services: f.services.clone(),
                };
                let on = self.requests(i, "refuse", &on)?;
                if f.with.is_empty() {
                    return Err(Error::value(
                        &self.case.place(&["faults", "from", i, "refuse", "with"]),
                        "no status code is named",
                        "write {refuse: {with: [500, 503]}}",
                    ));
                }
                for code in &f.with {
                    list.push(setup::Fault::Refuse {
                        on: on.clone(),
                        status: code.0,
                        retry_after_s: f
                            .retry_after
                            .map(|s| u32::try_from(s.0.as_secs()).unwrap_or(u32::MAX)),
                    });
                }
                return Ok(());
            }
            Fault::Delay(f) => {
                let on = Requests {
                    verbs: f.verbs.clone(),
                    kinds: f.kinds.clone(),
                    operator: f.operator.clone(),
                    webhooks: f.webhooks.clone(),
                    services: f.services.clone(),
                };
                setup::Fault::Delay {
                    on: self.requests(i, "delay", &on)?,
                    lasting: range(f.r#for),
                }
            }
            Fault::Lag(f) => setup::Fault::Lag {
                kind: kind("lag", &f.kind)?,
                server: self.server(i, f.server)?,
                lasting: range(f.r#for),
            },
            Fault::DropWatch(f) => setup::Fault::DropWatch {
                kind: kind("drop-watch", &f.kind)?,
                operator: operator("drop-watch", &f.operator)?,
            },
            Fault::ExpireWatch(f) => setup::Fault::ExpireWatch {
                kind: kind("expire-watch", &f.kind)?,
                operator: operator("expire-watch", &f.operator)?,
            },
            Fault::SilenceWatch(f) => setup::Fault::SilenceWatch {
                kind: kind("silence-watch", &f.kind)?,
                operator: operator("silence-watch", &f.operator)?,
                lasting: range(f.r#for),
            },
        });
        Ok(())
    }

    fn server(&self, i: &str, server: Option<u32>) -> Result<Option<u32>> {
        let servers = self.servers()?;
        match server {
            Some(n) if n >= servers => Err(Error::value(
                &self.case.place(&["faults", "from", i, "lag", "server"]),
                format!("there is no API server {n}"),
                format!(
                    "they count from 0 to {}, as `cluster.apiServers` says",
                    servers - 1
                ),
            )),
            server => Ok(server),
        }
    }

    fn requests(&self, i: &str, word: &str, requests: &Requests) -> Result<setup::RequestFilter> {
        for (k, kind) in requests.kinds.iter().enumerate() {
            let at = ["faults", "from", i, word, "kinds", &k.to_string()];
            self.kinds.get(kind, &self.case.place(&at))?;
        }
        for (k, name) in requests.services.iter().enumerate() {
            let services = &self.case.scenario.services;
            if name != "*" && !services.contains_key(name) {
                let at = ["faults", "from", i, word, "services", &k.to_string()];
                return Err(Error::at(
                    &self.case.place(&at),
                    Problem::UnknownWord {
                        what: "service",
                        word: name.clone(),
                        known: services.keys().cloned().collect(),
                        more: None,
                    },
                ));
            }
        }
        let operators = match &requests.operator {
            Some(name) => vec![self.operator(&["faults", "from", i, word, "operator"], name)?],
            None => Vec::new(),
        };
        let verbs = match requests.verbs.as_slice() {
            [] => &Verb::WRITES[..],
            verbs => verbs,
        };
        Ok(setup::RequestFilter {
            verbs: verbs.iter().map(|v| v.as_str().to_owned()).collect(),
            kinds: requests.kinds.clone(),
            operators,
            webhooks: requests.webhooks.clone(),
            services: requests.services.clone(),
        })
    }
}

fn is_crd(object: &Object) -> bool {
    object.text("/kind") == "CustomResourceDefinition"
}

fn target_of(object: &Json) -> Target {
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Target {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    }
}

fn range(range: SpanRange) -> DurationRange {
    DurationRange::new(range.min, range.max)
}

fn skew(skew: SkewRange) -> sim::time::SkewRange {
    sim::time::SkewRange {
        min_us: skew.min_us,
        max_us: skew.max_us,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::load::{Files, load};

    fn lowered(text: &str) -> Setup {
        let text = format!(
            "scenario: s\nversion: 1\nsummary: S.\nexpect: holds\noperators: {{op: {{run: op::run}}}}\n{text}"
        );
        let files = Files::Inlined(BTreeMap::from([(PathBuf::from("s.yaml"), text)]));
        let file =
            load(Path::new("s.yaml"), &files).unwrap_or_else(|e| panic!("{}", e.render(false)));
        let operators = Operators::new().add("op::run", |_| async {});
        lower(&file.cases[0], &operators).unwrap_or_else(|e| panic!("{}", e.render(false)))
    }

    const OBJECT: &str =
        "cluster: {objects: [{object: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}]}\n";

    #[test]
    fn what_is_left_out_is_the_engines_default() {
        let (setup, default) = (lowered(""), Setup::default());
        assert_eq!(
            (setup.servers, setup.actors, setup.mode),
            (1, default.actors, default.mode)
        );
        assert_eq!(setup.timing.request, default.timing.request);
        assert_eq!(setup.faults.at_most, 0, "nothing to pick from");
    }

    #[test]
    fn objects_get_the_default_namespace_where_their_kind_has_one() {
        let setup = lowered(OBJECT);
        assert_eq!(setup.objects[0]["metadata"]["namespace"], "default");
        let setup = lowered(
            "cluster: {objects: [{object: {apiVersion: v1, kind: Namespace, metadata: {name: a}}}]}\n",
        );
        assert_eq!(setup.objects[0]["metadata"].get("namespace"), None);
    }

    #[test]
    fn repeated_steps_are_unrolled_in_order_of_time() {
        let workload = "workload:\n\
                        - {at: 1s, every: 500ms, times: 3, annotate: {kind: ConfigMap, name: a, key: k}}\n\
                        - {at: 1200ms, delete: {kind: ConfigMap, name: a}}\n";
        let steps = lowered(&format!("{OBJECT}{workload}")).workload;
        let at: Vec<_> = steps.iter().map(|s| s.at.as_us() / 1000).collect();
        assert_eq!(at, [1000, 1200, 1500, 2000]);
        let value = |step: &WorkloadStep| match &step.action {
            setup::Action::Patch { body, .. } => body.pointer("/metadata/annotations/k").cloned(),
            _ => None,
        };
        assert_ne!(value(&steps[0]), value(&steps[2]), "each time a new value");
    }

    #[test]
    fn an_object_that_an_earlier_step_creates_may_be_spoken_of() {
        let create = "create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}}";
        let steps = lowered(&format!(
            "workload:\n- {{at: 2s, delete: {{kind: ConfigMap, name: b}}}}\n- {{at: 1s, {create}}}\n"
        ));
        assert_eq!(steps.workload.len(), 2);
    }

    #[test]
    fn without_verbs_faults_strike_writes() {
        let setup =
            lowered("faults: {atMost: 3, from: [{refuse: {with: [500, 503], operator: op}}]}\n");
        assert_eq!((setup.faults.at_most, setup.faults.from.len()), (3, 2));
        let setup::Fault::Refuse { on, status, .. } = &setup.faults.from[1] else {
            panic!("a refusal");
        };
        assert_eq!(
            (*status, on.verbs.len(), on.operators.as_slice()),
            (503, 5, &["op".to_owned()][..])
        );
    }
}
