//! Each built-in property has a planted mutant that makes it fire, and a twin of the mutant on which it is silent.

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
        properties: names().filter_map(builtin).collect(),
        settle: crate::setup::Settle {
            force: true,
            ..Default::default()
        },
        ..Setup::default()
    }
}

fn runs(setup: Setup, seeds: std::ops::Range<u64>) -> Vec<Run> {
    let prepared = Prepared::new(setup).expect("the server takes the setup");
    seeds
        .map(|seed| prepared.run(&Input::Seed(seed), RunOptions::default()))
        .collect()
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

#[test]
fn no_lost_update_fires_on_a_blind_patch_and_not_on_a_guarded_one() {
    check(
        setup(maps(|_, ctx| sign(ctx, false)), 2),
        Some("no-lost-update"),
    );
    check(setup(maps(|_, ctx| sign(ctx, true)), 2), None);
}

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

#[test]
fn no_duplicate_create_fires_on_generated_names_and_not_on_fixed_ones() {
    check(
        setup(maps(|map, ctx| ensure_child(map, ctx, false)), 2),
        Some("no-duplicate-create"),
    );
    check(
        setup(maps(|map, ctx| ensure_child(map, ctx, true)), 2),
        None,
    );
}

#[test]
fn no_panic_fires_with_the_place() {
    let runs = check(
        setup(
            maps(|map, _| async move { panic!("no data in {}", map.name_any()) }),
            1,
        ),
        Some("no-panic"),
    );
    let finding = &runs[0].verdict.findings[0];
    assert!(
        finding.message.contains("no data in main"),
        "{}",
        finding.message
    );
    assert!(finding.message.contains("tests.rs"), "{}", finding.message);
}

#[test]
fn converges_fires_on_a_fight() {
    let fight = maps(|_, ctx| async move {
        let patch = json!({"data": {"winner": ctx.identity}});
        api(&ctx)
            .patch("main", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(Next::await_change())
    });
    let mut setup = setup(fight, 2);
    setup.settle.bound = Duration::from_secs(30);
    check_seeds(setup, Some("converges"), 3);
}

#[test]
fn idempotent_fires_on_a_counter_and_not_on_a_constant() {
    let count = |constant: bool| {
        maps(move |map, ctx| async move {
            let said = map.data.clone().unwrap_or_default();
            let count: u32 = said
                .get("count")
                .and_then(|count| count.parse().ok())
                .unwrap_or(0);
            let next = if constant { 1 } else { count + 1 };
            // The object's own change must not start it again at once: that would be a hot loop, not this mutant.
            let fresh = map.metadata.annotations.clone().unwrap_or_default();
            if !constant && fresh.get("by") == Some(&format!("{}-{}", ctx.identity, boot()))
                || constant && count == 1
            {
                return Ok(Next::await_change());
            }
            let by = format!("{}-{}", ctx.identity, boot());
            let by = if constant { "all".to_owned() } else { by };
            let patch = json!({"metadata": {"annotations": {"by": by}}, "data": {"count": next.to_string()}});
            api(&ctx)
                .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                .await?;
            Ok(Next::await_change())
        })
    };
    check(setup(count(false), 1), Some("idempotent"));
    check(setup(count(true), 1), None);
}

/// A number that is another one in each incarnation: when the runtime of the process began.
fn boot() -> u64 {
    thread_local! { static BOOT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) }; }
    let now = crate::entropy::now().as_us() / 60_000_000;
    BOOT.with(|boot| boot.set(now));
    BOOT.with(std::cell::Cell::get)
}

/// Reconciles the Deployment `main`: works, then reports.
fn deployments(honest: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let api: Api<Deployment> = Api::namespaced(cx.client.clone(), "default");
        Controller::new(api.clone(), watcher::Config::default())
            .run(
                move |seen: Arc<Deployment>, api: Arc<Api<Deployment>>| async move {
                    let observed = seen
                        .status
                        .as_ref()
                        .and_then(|status| status.observed_generation);
                    if observed == seen.metadata.generation {
                        return Ok(Next::await_change());
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    let mut latest = if honest {
                        Deployment::clone(&seen)
                    } else {
                        api.get("main").await?
                    };
                    latest.status = Some(DeploymentStatus {
                        observed_generation: latest.metadata.generation,
                        ..Default::default()
                    });
                    match api
                        .replace_status("main", &PostParams::default(), &latest)
                        .await
                    {
                        Err(kube::Error::Api(status)) if status.code == 409 => {
                            Ok(Next::requeue(Duration::from_millis(100)))
                        }
                        Err(error) => Err(error),
                        Ok(_) => Ok(Next::await_change()),
                    }
                },
                |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                Arc::new(api),
            )
            .for_each(|_| std::future::ready(()))
            .await;
    })
}

#[test]
fn status_not_ahead_of_spec_fires_on_a_late_read_and_not_on_an_honest_status() {
    let with = |honest| {
        let mut setup = setup(deployments(honest), 1);
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        setup.objects = vec![json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "main", "namespace": "default"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template},
        })];
        setup.workload = vec![WorkloadStep {
            at: SimTime(300_000),
            action: Action::Patch {
                target: target("Deployment", "apps/v1"),
                subresource: None,
                patch: PatchType::Merge,
                body: json!({"spec": {"replicas": 2}}),
            },
        }];
        setup
    };
    check(with(false), Some("status-not-ahead-of-spec"));
    check(with(true), None);
}

/// Deletes the child that the object names and that its own list, read before, does not show.
fn blind_deleter(looks: bool) -> crate::operator::OperatorFn {
    maps(move |map, ctx| async move {
        let api = api(&ctx);
        if map
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key("drop"))
        {
            if looks {
                let Some(child) = api.get_opt("child").await? else {
                    return Ok(Next::await_change());
                };
                let seen = kube::api::Preconditions {
                    uid: child.uid(),
                    resource_version: child.resource_version(),
                };
                let params = DeleteParams {
                    preconditions: Some(seen),
                    ..DeleteParams::default()
                };
                let _ = api.delete("child", &params).await;
            } else {
                let _ = api.delete("child", &DeleteParams::default()).await;
            }
        }
        Ok(Next::await_change())
    })
}

#[test]
fn safe_delete_fires_on_an_object_never_seen_and_not_behind_a_precondition() {
    let with = |looks| {
        let mut setup = setup(blind_deleter(looks), 1);
        let mut child = main_map();
        child["metadata"] = json!({"name": "child", "namespace": "default"});
        setup.objects.push(child);
        setup.workload = vec![poke(2_000, json!({"data": {"drop": "yes"}}))];
        setup
    };
    check(with(false), Some("safe-delete"));
    check(with(true), None);
}

const CLEANUP: &str = "example.com/cleanup";
const FLUSH: &str = "example.com/flush";

/// Owns a child with a finalizer of another party, which lets go two seconds after the child was deleted.
fn keeper(waits: bool) -> crate::operator::OperatorFn {
    maps(move |map, ctx| async move {
        let api = api(&ctx);
        let child = api.get_opt("child").await?;
        if map.metadata.deletion_timestamp.is_none() {
            if !map
                .finalizers()
                .iter()
                .any(|finalizer| finalizer == CLEANUP)
            {
                let patch = json!({"metadata": {"finalizers": [CLEANUP], "resourceVersion": map.resource_version()}});
                let _ = api
                    .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                    .await;
                return Ok(Next::requeue(Duration::from_secs(1)));
            }
            if child.is_none() {
                let mut child = ConfigMap::default();
                child.metadata.name = Some("child".into());
                child.metadata.finalizers = Some(vec![FLUSH.into()]);
                child.metadata.owner_references =
                    map.controller_owner_ref(&()).map(|owner| vec![owner]);
                let _ = api.create(&PostParams::default(), &child).await;
            }
            return Ok(Next::await_change());
        }
        if let Some(child) = &child {
            if child.metadata.deletion_timestamp.is_none() {
                api.delete("child", &DeleteParams::default()).await?;
            } else if waits {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let _ = api
                    .patch(
                        "child",
                        &PatchParams::default(),
                        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
                    )
                    .await;
            }
            if waits {
                return Ok(Next::requeue(Duration::from_secs(1)));
            }
        }
        let _ = api
            .patch(
                "main",
                &PatchParams::default(),
                &Patch::Merge(json!({"metadata": {"finalizers": null}})),
            )
            .await;
        Ok(Next::await_change())
    })
}

fn delete_main(at_ms: u64) -> WorkloadStep {
    let action = Action::Delete {
        target: target("ConfigMap", "v1"),
        propagation_policy: None,
    };
    WorkloadStep {
        at: SimTime(at_ms * 1_000),
        action,
    }
}

#[test]
fn finalizer_covers_cleanup_fires_on_a_child_left_and_not_on_one_waited_for() {
    let with = |waits| {
        let mut setup = setup(keeper(waits), 1);
        setup.workload = vec![delete_main(10_000)];
        setup
    };
    let runs = check(with(false), Some("finalizer-covers-cleanup"));
    assert!(
        runs.iter()
            .any(|run| run.verdict.violated().contains(&"no-orphans")),
        "the child is an orphan"
    );
    check(with(true), None);
}

#[test]
fn closures_are_asked() {
    let mut setup = setup(maps(|_, ctx| sign(ctx, true)), 2);
    let signed = |view: &super::View<'_>| {
        view.of_kind("ConfigMap")
            .iter()
            .any(|map| map.at(&["data", "signed"]).is_some())
    };
    setup.properties = vec![
        always("never signed", move |view| !signed(view)),
        eventually("signed in the end", signed),
        eventually("unsigned in the end", move |view| !signed(view)),
        sometimes("signed at some time", signed),
    ];
    for run in runs(setup, 0..4) {
        assert_eq!(
            run.verdict.violated(),
            ["never signed", "unsigned in the end"]
        );
        assert_eq!(run.verdict.reached, ["signed at some time"]);
    }
}

/// Faults of every kind at once.
fn stormy(mut setup: Setup) -> Setup {
    let second = DurationRange::ms(100, 5_000);
    let anything = crate::setup::RequestFilter::default;
    setup.servers = 2;
    setup.faults = FaultPlan {
        at_most: 4,
        from: vec![
            Fault::Crash {
                operator: None,
                after: crate::setup::CrashPoint::AnyWrite,
                restart: second,
            },
            Fault::Crash {
                operator: None,
                after: crate::setup::CrashPoint::AnyDelivery,
                restart: second,
            },
            Fault::LoseReply { on: anything() },
            Fault::Refuse {
                on: anything(),
                status: 409,
                retry_after_s: None,
            },
            Fault::Refuse {
                on: anything(),
                status: 429,
                retry_after_s: Some(1),
            },
            Fault::Refuse {
                on: anything(),
                status: 500,
                retry_after_s: None,
            },
            Fault::Refuse {
                on: anything(),
                status: 503,
                retry_after_s: None,
            },
            Fault::DropWatch {
                kind: None,
                operator: None,
            },
            Fault::ExpireWatch {
                kind: None,
                operator: None,
            },
            Fault::SilenceWatch {
                kind: None,
                operator: None,
                lasting: second,
            },
            Fault::Lag {
                kind: None,
                server: None,
                lasting: second,
            },
            Fault::Pause {
                operator: None,
                lasting: second,
            },
            Fault::ClockSkew {
                operator: None,
                by: crate::time::SkewRange {
                    min_us: -5_000_000,
                    max_us: 5_000_000,
                },
            },
        ],
    };
    setup.workload = vec![
        poke(1_000, json!({"metadata": {"annotations": {"a": "1"}}})),
        poke(3_000, json!({"metadata": {"annotations": {"a": "2"}}})),
    ];
    setup
}

#[test]
fn correct_operators_hold_in_every_storm() {
    check(stormy(setup(maps(|_, ctx| sign(ctx, true)), 2)), None);
    check(
        stormy(setup(maps(|map, ctx| ensure_child(map, ctx, true)), 2)),
        None,
    );
}

#[test]
fn a_storm_is_the_same_again_by_seed_by_tape_and_on_parallel_threads() {
    let prepared =
        Prepared::new(stormy(setup(maps(|_, ctx| sign(ctx, false)), 2))).expect("a setup");
    let first: Vec<Run> = (0..30)
        .map(|seed| prepared.run(&Input::Seed(seed), RunOptions::default()))
        .collect();
    let distinct: BTreeSet<_> = first.iter().map(Run::fingerprint).collect();
    assert!(
        distinct.len() > 25,
        "{} of 30 runs are distinct",
        distinct.len()
    );
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (seed, want) in first.iter().enumerate() {
                    for input in [
                        Input::Seed(seed as u64),
                        Input::Tape(want.trace.tape.clone()),
                    ] {
                        let got = prepared.run(&input, RunOptions::default());
                        if let Some(at) = got.trace.first_difference(&want.trace) {
                            panic!(
                                "seed {seed}: {:#?}\n{:#?}",
                                want.trace.records.get(at),
                                got.trace.records.get(at)
                            );
                        }
                        assert!(!got.diverged);
                        assert_eq!(got.trace.tape, want.trace.tape);
                    }
                }
            });
        }
    });
}

#[test]
fn properties_only_read() {
    let with = stormy(setup(maps(|_, ctx| sign(ctx, false)), 2));
    let without = Setup {
        properties: Vec::new(),
        ..with.clone()
    };
    let fingerprints = |setup: Setup| {
        runs(setup, 0..20)
            .iter()
            .map(Run::fingerprint)
            .collect::<Vec<_>>()
    };
    assert_eq!(fingerprints(with), fingerprints(without));
}

/// The runs of a batch in order of their seeds: the fingerprint and the broken properties, or how the run was lost.
fn made(
    prepared: &Prepared,
    jobs: usize,
    isolation: Isolation,
    seeds: u64,
) -> Vec<Result<(u64, String), Lost>> {
    let seeds: Vec<u64> = (0..seeds).collect();
    let limit = Duration::from_secs(5);
    let batch = Batch {
        seeds: &seeds,
        jobs,
        isolation,
        limit,
        check_one_in: 2,
    };
    let mut all = BTreeMap::new();
    let told = make_runs(prepared, &batch, &mut |made| {
        if let (Ok(run), Some(Ok(again))) = (&made.run, &made.again) {
            assert_eq!(run.trace.first_difference(&again.trace), None);
        }
        let told = made
            .run
            .map(|run| (run.fingerprint().0, format!("{:?}", run.verdict)));
        all.insert(made.seed, told).is_none()
    });
    told.expect("runs can be kept apart");
    all.into_values().collect()
}

#[test]
fn runs_are_the_same_with_one_worker_and_with_three_and_in_forks() {
    let prepared =
        Prepared::new(stormy(setup(maps(|_, ctx| sign(ctx, false)), 2))).expect("a setup");
    let forked = made(&prepared, 2, Isolation::Fork, 12);
    let one = made(&prepared, 1, Isolation::Thread, 12);
    assert_eq!(one.len(), 12);
    assert_eq!(one, made(&prepared, 3, Isolation::Thread, 12));
    assert_eq!(one, forked);
}

#[test]
fn a_fork_contains_what_kills_a_process() {
    let lost = |run, jobs| {
        let prepared = Prepared::new(setup(run, 2)).expect("a setup");
        made(&prepared, jobs, Isolation::Fork, 2)
    };
    let aborted = lost(maps(|_, _| async { std::process::abort() }), 1);
    assert_eq!(aborted, [Err(Lost::Killed(6)), Err(Lost::Killed(6))]);
    let stuck = lost(
        maps(|_, _| async {
            loop {
                std::hint::spin_loop();
            }
        }),
        2,
    );
    assert_eq!(stuck, [Err(Lost::Stuck(5)), Err(Lost::Stuck(5))]);
}

#[test]
fn a_directed_run_holds_a_write_until_another_has_passed() {
    let prepared = Prepared::new(setup(maps(|_, ctx| sign(ctx, false)), 2)).expect("a setup");
    let run = prepared.direct(&Input::Seed(0), RunOptions::default(), |world| {
        let slow = world.requests_of("op-1");
        let sent = |event: &crate::event::Event| {
            matches!(event, crate::event::Event::RequestSent { replica, call, .. } if replica.0 == 1 && call.verb == "patch")
        };
        let wrote = |event: &crate::event::Event| {
            matches!(event, crate::event::Event::RequestCommitted { replica, changes, .. } if replica.0 == 0 && !changes.is_empty())
        };
        assert!(world.run_until_event(sent));
        world.hold(slow);
        assert!(world.run_until_event(wrote) || world.look().of_kind("ConfigMap").iter().any(|map| map.at(&["data", "signed"]).is_some()));
        world.release(slow);
        assert!(world.run_until_settled());
    });
    assert_eq!(run.verdict.violated(), ["no-lost-update"]);
}
