//! Each built-in property has a planted mutant that makes it fire, and a twin of the mutant on which it is silent; the table
//! of them is in `planted`.

mod bounded_requests;
mod cel;
mod cel_outside;
mod closures;
mod converges;
mod directed;
mod finalizer_covers_cleanup;
mod idempotent;
mod isolation;
mod leases;
mod lifecycle;
mod no_duplicate_create;
mod no_lost_update;
mod no_panic;
mod no_stall;
mod owner_refs_kept;
mod planted;
mod safe_delete;
mod same_end_state;
mod status_not_ahead_of_spec;
mod storm;
mod targeted;
mod telemetry;
mod twins;
mod unique_effect;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action as Next, Controller};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::isolation::{Batch, Isolation, Lost, make_runs};
use crate::operator::{OperatorContext, operator};
use crate::property::{always, builtin, eventually, names, sometimes};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::setup::{
    Action, Fault, FaultPlan, OperatorSetup, PatchType, Setup, Target, WorkloadStep,
};
use crate::time::{DurationRange, SimTime};

/// What a mutant's reconcile is made of.
#[derive(Clone)]
struct Ctx {
    client: Client,
    identity: String,
}

type Done = Result<Next, kube::Error>;

/// Reconciles every ConfigMap called `main`.
fn maps<F, Fut>(reconcile: F) -> crate::operator::OperatorFn
where
    F: Fn(Arc<ConfigMap>, Ctx) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Done> + Send + 'static,
{
    operator(move |cx: OperatorContext| {
        let reconcile = reconcile.clone();
        async move {
            let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
            let only = watcher::Config::default().labels("main=yes");
            let ctx = Arc::new(Ctx {
                client: cx.client.clone(),
                identity: cx.identity.clone(),
            });
            Controller::new(api, only)
                .run(
                    move |map, ctx: Arc<Ctx>| reconcile.clone()(map, Ctx::clone(&ctx)),
                    |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                    ctx,
                )
                .for_each(|_| std::future::ready(()))
                .await;
        }
    })
}

fn api(ctx: &Ctx) -> Api<ConfigMap> {
    Api::namespaced(ctx.client.clone(), "default")
}

fn main_map() -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "main", "namespace": "default", "labels": {"main": "yes"}}})
}

fn target(kind: &str, api_version: &str) -> Target {
    Target {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: "default".into(),
        name: "main".into(),
    }
}

fn poke(at_ms: u64, body: serde_json::Value) -> WorkloadStep {
    WorkloadStep {
        at: SimTime(at_ms * 1_000),
        action: Action::Patch {
            target: target("ConfigMap", "v1"),
            subresource: None,
            patch: PatchType::Merge,
            body,
        },
    }
}

/// Properties that have something to say only of some operators.
const SPECIAL: [&str; 5] = [
    "level-triggered",
    "no-stall",
    "same-end-state",
    "single-leader",
    "unique-effect",
];

fn setup(run: crate::operator::OperatorFn, replicas: u32) -> Setup {
    Setup {
        name: "mutant".into(),
        objects: vec![main_map()],
        operators: vec![OperatorSetup {
            name: "op".into(),
            replicas,
            namespace: "default".into(),
            run,
        }],
        properties: names()
            .filter(|name| !SPECIAL.contains(name))
            .filter_map(builtin)
            .collect(),
        settle: crate::setup::Settle {
            force: true,
            ..Default::default()
        },
        ..Setup::default()
    }
}

fn runs(setup: Setup, seeds: std::ops::Range<u64>) -> Vec<Run> {
    let on = setup.properties.iter().map(|spec| spec.name.clone());
    let on = on.collect();
    let prepared = Prepared::new(setup).expect("the server takes the setup");
    let runs: Vec<Run> = seeds
        .map(|seed| prepared.run(&Input::Seed(seed), RunOptions::default()))
        .collect();
    planted::note(on, &runs);
    runs
}

/// The properties that are broken in some of the runs; `want` must be among them, or none at all.
fn check(setup: Setup, want: Option<&str>) -> Vec<Run> {
    check_seeds(setup, want, 24)
}

fn check_seeds(setup: Setup, want: Option<&str>, seeds: u64) -> Vec<Run> {
    let runs = runs(setup, 0..seeds);
    let broken: BTreeSet<&str> = runs.iter().flat_map(|run| run.verdict.violated()).collect();
    let findings = || {
        let all = runs.iter().flat_map(|run| {
            run.verdict
                .findings
                .iter()
                .map(|f| format!("{}: {}", f.property, f.message))
        });
        all.collect::<BTreeSet<_>>()
    };
    match want {
        Some(want) => assert!(broken.contains(want), "{want} is silent; {:#?}", findings()),
        None => {
            assert!(broken.is_empty(), "{:#?}", findings());
            let inconclusive: BTreeSet<_> = runs
                .iter()
                .flat_map(|run| run.verdict.inconclusive.clone())
                .collect();
            assert!(inconclusive.is_empty(), "{inconclusive:?}");
            assert!(runs.iter().all(|run| run.verdict.settled.is_some()));
        }
    }
    runs
}

/// Adds the replica's name to the list in the object's data.
async fn sign(ctx: Ctx, guarded: bool) -> Done {
    let api = api(&ctx);
    let Some(live) = api.get_opt("main").await? else {
        return Ok(Next::await_change());
    };
    let mut signed = live
        .data
        .clone()
        .unwrap_or_default()
        .remove("signed")
        .unwrap_or_default();
    if signed.contains(&ctx.identity) {
        return Ok(Next::await_change());
    }
    signed.push_str(&ctx.identity);
    let mut patch = json!({"data": {"signed": signed}});
    if guarded {
        patch["metadata"] = json!({"resourceVersion": live.resource_version()});
    }
    match api
        .patch("main", &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Next::requeue(Duration::ZERO)),
        Err(error) => Err(error),
        Ok(_) => Ok(Next::await_change()),
    }
}

/// Makes a child of the object, once.
async fn ensure_child(map: Arc<ConfigMap>, ctx: Ctx, fixed_name: bool) -> Done {
    let api = api(&ctx);
    let children = api.list(&ListParams::default().labels("child=yes")).await?;
    if !children.items.is_empty() {
        return Ok(Next::await_change());
    }
    let mut child = ConfigMap::default();
    if fixed_name {
        child.metadata.name = Some("main-child".into());
    } else {
        child.metadata.generate_name = Some("main-".into());
    }
    child.metadata.labels = Some(BTreeMap::from([("child".to_owned(), "yes".to_owned())]));
    child.metadata.owner_references = map.controller_owner_ref(&()).map(|owner| vec![owner]);
    match api.create(&PostParams::default(), &child).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Next::await_change()),
        Err(error) => Err(error),
        Ok(_) => Ok(Next::await_change()),
    }
}
