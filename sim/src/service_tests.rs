//! Services and telemetry inside a run: the same gate, the same faults, and everything in the trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{Action as Next, Controller};
use kube::runtime::watcher;
use serde_json::{Value, json};
use tracing::Instrument as _;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::event::{EffectKind, Event};
use crate::operator::{OperatorContext, OperatorFn, operator};
use crate::property::builtin;
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::service::{ServiceKind, ServiceSetup};
use crate::setup::{
    CrashPoint, Fault, FaultPlan, Mode, OperatorSetup, RequestFilter, Setup, Telemetry,
};
use crate::time::{DurationRange, SimTime};

fn setup(run: OperatorFn, services: Vec<ServiceSetup>) -> Setup {
    Setup {
        name: "services".into(),
        objects: vec![json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "main", "namespace": "default", "labels": {"main": "yes"}}})],
        operators: vec![OperatorSetup {
            name: "op".into(),
            replicas: 1,
            namespace: "default".into(),
            run,
        }],
        services,
        ..Setup::default()
    }
}

fn run(setup: Setup, seed: u64) -> Run {
    let prepared = Prepared::new(setup).expect("the server takes the setup");
    prepared.run(&Input::Seed(seed), RunOptions::default())
}

pub(crate) fn cloud() -> ServiceSetup {
    let cleanup = DurationRange::fixed(Duration::from_secs(30));
    ServiceSetup::new(
        "cloud",
        ServiceKind::Cloud {
            cleanup,
            limit: None,
        },
    )
}

pub(crate) fn on_cloud() -> RequestFilter {
    RequestFilter {
        services: vec!["cloud".into()],
        ..RequestFilter::default()
    }
}

/// Makes a volume of no name until it is told that there is one.
pub(crate) fn maker(keyed: bool) -> OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let mut cloud = cx.service("cloud");
        if keyed {
            cloud = cloud.keyed("the volume");
        }
        while !matches!(cloud.request("POST", "/volumes", json!({"size": 1})).await, Ok(reply) if reply.is_success())
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    })
}

fn made(run: &Run) -> usize {
    let effects = run
        .trace
        .records
        .iter()
        .filter_map(|record| record.event.effects());
    let all = effects.flat_map(|(_, effects)| effects);
    all.filter(|one| one.kind == EffectKind::Created && one.object == "volumes/*")
        .count()
}

#[test]
fn calls_of_services_suffer_the_same_faults_as_requests() {
    let faults = FaultPlan {
        at_most: 1,
        from: vec![
            Fault::LoseReply { on: on_cloud() },
            Fault::Refuse {
                on: on_cloud(),
                status: 503,
                retry_after_s: Some(1),
            },
            Fault::Delay {
                on: on_cloud(),
                lasting: DurationRange::fixed(Duration::from_secs(5)),
            },
            Fault::Crash {
                operator: None,
                after: CrashPoint::AnyWrite,
                restart: DurationRange::ms(1_000, 1_000),
            },
        ],
    };
    let (mut twice, mut struck) = (0, std::collections::BTreeSet::new());
    for seed in 0..60 {
        let with = |keyed| Setup {
            faults: faults.clone(),
            ..setup(maker(keyed), vec![cloud()])
        };
        let blind = run(with(false), seed);
        twice += usize::from(made(&blind) == 2);
        assert!((1..=2).contains(&made(&blind)));
        assert_eq!(made(&run(with(true), seed)), 1, "a key makes one");
        assert!(blind.verdict.settled.is_some());
        struck.extend(blind.trace.records.iter().filter_map(|r| match r.event {
            Event::ReplyLost { .. } => Some("lose-reply"),
            Event::RequestRefused { .. } => Some("refuse"),
            Event::RequestDelayed { .. } => Some("delay"),
            Event::ReplicaCrashed { .. } => Some("crash"),
            _ => None,
        }));
        assert_eq!(blind.fingerprint(), run(with(false), seed).fingerprint());
    }
    assert!(twice > 0);
    assert_eq!(struck.len(), 4, "{struck:?}");
}

#[test]
fn what_a_service_does_by_itself_is_waited_for() {
    let cleaner = operator(|cx: OperatorContext| async move {
        let cloud = cx.service("cloud");
        let _ = cloud.request("PUT", "/volumes/a", json!({})).await;
        let _ = cloud.request("DELETE", "/volumes/a", Value::Null).await;
        std::future::pending::<()>().await;
    });
    for mode in [Mode::Timed, Mode::Controlled] {
        let run = run(
            Setup {
                mode,
                ..setup(cleaner.clone(), vec![cloud()])
            },
            1,
        );
        let gone = run.trace.records.iter().find(|record| {
            matches!(&record.event, Event::ServiceWorked { effects, .. } if effects[0].kind == EffectKind::CleanedUp)
        });
        let gone = gone.expect("the cleanup comes to its end").at;
        assert!(gone >= SimTime(30_000_000));
        assert!(run.verdict.settled.is_some_and(|at| at > gone));
    }
}

#[test]
fn a_slow_collector_answers_late_and_an_undeclared_service_not_at_all() {
    let exporter = operator(|cx: OperatorContext| async move {
        let reply = cx
            .service("otel")
            .request("POST", "/v1/traces", json!([1]))
            .await;
        let waited = reply.map(|reply| reply.status);
        let error = cx.service("nowhere").request("GET", "/", Value::Null).await;
        let error = error.expect_err("nobody is there").to_string();
        assert_eq!(waited.expect("taken"), 200);
        assert_eq!(error, "no service \"nowhere\" is declared in this scenario");
        std::future::pending::<()>().await;
    });
    let work = DurationRange::fixed(Duration::from_secs(2));
    let otel = ServiceSetup::new("otel", ServiceKind::Collector { work, capacity: 1 });
    for seed in 0..8 {
        let run = run(setup(exporter.clone(), vec![otel.clone()]), seed);
        assert!(
            run.verdict.findings.is_empty(),
            "{:?}",
            run.verdict.findings
        );
        let replied = run
            .trace
            .records
            .iter()
            .find(|record| matches!(record.event, Event::ReplyDelivered { status: 200, .. }));
        assert!(replied.expect("it answers").at >= SimTime(2_000_000));
    }
}

/// Reconciles with a span, a log line and a metric.
fn observed(good: bool) -> OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let count = Arc::new(AtomicU64::new(0));
        let shown = count.clone();
        cx.metrics.register(move || {
            let name = if good {
                "op_controller_reconciles_total"
            } else {
                "Reconciles"
            };
            format!(
                "# TYPE {name} counter\n{name} {}\n",
                shown.load(Ordering::Relaxed)
            )
        });
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let ctx = Arc::new((api.clone(), count));
        Controller::new(api, watcher::Config::default())
            .run(
                |_, ctx: Arc<(Api<ConfigMap>, Arc<AtomicU64>)>| async move {
                    let span = tracing::info_span!("working", how = "well");
                    let _ = span.enter();
                    tracing::info!("reconciled");
                    ctx.1.fetch_add(1, Ordering::Relaxed);
                    let patch = Patch::Merge(json!({"data": {"seen": "yes"}}));
                    // To the transport only this span is carried along.
                    let patching = tracing::info_span!("patching");
                    ctx.0
                        .patch("main", &PatchParams::default(), &patch)
                        .instrument(patching)
                        .await?;
                    Ok(Next::await_change())
                },
                |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                ctx,
            )
            .for_each(|_| std::future::ready(()))
            .await;
    })
}

fn watched(good: bool) -> Setup {
    Setup {
        telemetry: Telemetry {
            logs: true,
            spans: true,
            scrape: Some(Duration::from_secs(15)),
        },
        properties: ["metric-rules", "traced-writes"]
            .into_iter()
            .filter_map(builtin)
            .collect(),
        ..setup(observed(good), Vec::new())
    }
}

#[test]
fn spans_log_lines_and_metrics_are_in_the_trace() {
    let seen = run(watched(true), 3);
    let span = seen.trace.spans.iter().find(|span| span.name == "working");
    let span = span.expect("the span is kept");
    assert_eq!(span.fields["how"], "well");
    assert_eq!(span.replica, "op-0");
    assert!(span.reconcile.is_some() && span.closed.is_some());
    let parent = &seen.trace.spans[span.parent.expect("a parent")];
    assert_eq!(parent.reconcile, span.reconcile);
    let line = seen
        .trace
        .logs
        .iter()
        .find(|log| log.line.ends_with("reconciled"));
    assert_eq!(line.expect("the line is kept").reconcile, span.reconcile);
    let scraped =
        |record: &&crate::trace::Record| matches!(record.event, Event::MetricsScraped { .. });
    assert!(seen.trace.records.iter().filter(scraped).count() > 2);
    assert_eq!(seen.verdict.violated(), ["traced-writes"]);
    let again = run(watched(true), 3);
    assert_eq!(seen.fingerprint(), again.fingerprint());
    assert_eq!(
        (&seen.trace.spans, &seen.trace.logs),
        (&again.trace.spans, &again.trace.logs)
    );
    assert_eq!(
        run(watched(false), 3).verdict.violated(),
        ["traced-writes", "metric-rules"]
    );
}

#[test]
fn what_is_captured_does_not_change_a_run() {
    let without = Setup {
        telemetry: Telemetry {
            logs: false,
            spans: false,
            ..watched(true).telemetry
        },
        ..watched(true)
    };
    for seed in 0..4 {
        let bare = run(without.clone(), seed);
        assert_eq!(bare.fingerprint(), run(watched(true), seed).fingerprint());
        assert!(bare.trace.spans.is_empty() && bare.trace.logs.is_empty());
        let of_none = |record: &&crate::trace::Record| matches!(&record.event, Event::RequestSent { call, reconcile: None, .. } if call.is_write());
        assert_eq!(bare.trace.records.iter().find(of_none), None);
    }
}
