//! Conversion webhooks served by an operator inside a run (L9): each version shows its own form, and a lost answer, a late
//! one and a missing server are told in the words of a real API server.

use std::time::Duration;

use bytes::Bytes;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, WatchEvent};
use kube::api::{PostParams, WatchParams};
use serde_json::{Value, json};

use crate::event::Event;
use crate::operator::{OperatorContext, OperatorFn, operator};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::setup::{
    Action, Fault, FaultPlan, Mode, OperatorSetup, RequestFilter, Setup, WorkloadStep,
};
use crate::time::SimTime;

const LOST: &str = "Post \"https://op.default.svc:443/convert?timeout=30s\": EOF";
const LATE: &str =
    "Post \"https://op.default.svc:443/convert?timeout=30s\": context deadline exceeded";

/// `v1` is stored and has `spec.size`; `v2` calls it `spec.replicas`.
fn crd() -> Value {
    let version = |name: &str, field: &str| {
        json!({"name": name, "served": true, "storage": name == "v1", "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "properties": {field: {"type": "integer"}}}}}}})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version("v1", "size"), version("v2", "replicas")],
            "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
                "service": {"name": "op", "namespace": "default", "path": "/convert"}}}},
        },
    })
}

fn widget(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Widget",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn api(cx: &OperatorContext, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.com", version, "Widget");
    let resource = ApiResource::from_gvk_with_plural(&kind, "widgets");
    Api::namespaced_with(cx.client.clone(), "default", &resource)
}

/// Answers a ConversionReview.
fn convert(request: &http::Request<Bytes>) -> http::Response<Bytes> {
    let review: Value = serde_json::from_slice(request.body()).expect("a review is JSON");
    let wanted = &review["request"]["desiredAPIVersion"];
    let (from, to) = match wanted.as_str() {
        Some("example.com/v2") => ("size", "replicas"),
        _ => ("replicas", "size"),
    };
    let mut objects = review["request"]["objects"].clone();
    for object in objects.as_array_mut().into_iter().flatten() {
        object["apiVersion"] = wanted.clone();
        if let Some(spec) = object["spec"].as_object_mut() {
            let moved = spec.remove(from);
            spec.extend(moved.map(|value| (to.to_owned(), value)));
        }
    }
    let response = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": {
        "uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects}});
    http::Response::new(Bytes::from(response.to_string()))
}

/// Serves the conversion; `also` runs beside it.
fn converts<F: Future<Output = ()> + Send + 'static>(
    delay: Duration,
    also: impl Fn(OperatorContext) -> F + Send + Sync + 'static,
) -> OperatorFn {
    operator(move |cx: OperatorContext| {
        let beside = also(cx.clone());
        async move {
            let serving = cx.serve_webhook("/convert", move |request| async move {
                tokio::time::sleep(delay).await;
                convert(&request)
            });
            futures::join!(serving, beside).0
        }
    })
}

fn only_converts(delay: Duration) -> OperatorFn {
    converts(delay, |_| std::future::ready(()))
}

fn setup(run: OperatorFn, create: Value) -> Setup {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "op", "namespace": "default"},
        "spec": {"ports": [{"port": 443}]}});
    Setup {
        name: "conversion".into(),
        mode: Mode::Timed,
        crds: vec![crd()],
        objects: vec![service],
        operators: vec![OperatorSetup {
            name: "op".into(),
            replicas: 2,
            namespace: "default".into(),
            run,
        }],
        workload: vec![WorkloadStep {
            at: SimTime(1_000_000),
            action: Action::Create { object: create },
        }],
        ..Setup::default()
    }
}

fn run(setup: Setup, seed: u64) -> Run {
    let prepared = Prepared::new(setup).expect("the server takes the setup");
    let options = RunOptions {
        logs: true,
        ..RunOptions::default()
    };
    prepared.run(&Input::Seed(seed), options)
}

/// Status and message of the workload's only step.
fn done(run: &Run) -> (u16, String) {
    let found = run.trace.records.iter().find_map(|record| {
        let Event::WorkloadDone {
            status, message, ..
        } = &record.event
        else {
            return None;
        };
        Some((*status, message.clone()))
    });
    found.unwrap_or_else(|| panic!("the step is done: {:#?}", run.trace.records))
}

fn count(run: &Run, is: impl Fn(&Event) -> bool) -> usize {
    let records = run.trace.records.iter();
    records.filter(|record| is(&record.event)).count()
}

/// What was stored of `demo`.
fn stored(run: &Run) -> Option<Value> {
    let mut changes = run
        .trace
        .records
        .iter()
        .flat_map(|record| record.event.changes());
    let change = changes.rfind(|change| change.object.name == "demo")?;
    let body = run.trace.bodies.get(&change.body)?;
    serde_json::from_slice(body).ok()
}

fn logs(run: &Run) -> Vec<&str> {
    let lines = run.trace.logs.iter().map(|log| log.line.as_str());
    // Behind the module that logged it.
    lines
        .map(|line| line.split_once(": ").map_or(line, |(_, line)| line))
        .collect()
}

#[test]
fn l9_calls_and_answers_are_choices_of_the_scheduler() {
    for mode in [Mode::Timed, Mode::Controlled] {
        for seed in 0..4 {
            let make = || Setup {
                mode,
                ..setup(
                    only_converts(Duration::ZERO),
                    widget("v2", "demo", json!({"replicas": 3})),
                )
            };
            let first = run(make(), seed);
            assert_eq!(first.fingerprint(), run(make(), seed).fingerprint());
            let (status, message) = done(&first);
            if mode == Mode::Controlled && status == 500 {
                // Time may pass while a call is on its way.
                assert!(message.ends_with(LATE), "{message}");
                continue;
            }
            assert_eq!(status, 201, "{message}");
            let object = stored(&first).expect("it is stored");
            assert_eq!(object["apiVersion"], "example.com/v1");
            assert_eq!(object["spec"], json!({"size": 3}));
            // To the storage version, and back for the answer.
            let of = |is: fn(&Event) -> bool| count(&first, is);
            assert_eq!(of(|event| matches!(event, Event::WebhookCalled { .. })), 2);
            assert_eq!(
                of(|event| matches!(event, Event::WebhookDelivered { .. })),
                2
            );
            assert_eq!(
                of(|event| matches!(event, Event::WebhookAnswered { .. })),
                2
            );
        }
    }
}

#[test]
fn l9_a_lost_answer_fails_the_write_and_may_leave_it_stored() {
    let mut seen = [0, 0];
    for seed in 0..60 {
        let mut setup = setup(
            only_converts(Duration::ZERO),
            widget("v2", "demo", json!({"replicas": 3})),
        );
        let on = RequestFilter {
            webhooks: vec!["/convert".into()],
            ..RequestFilter::default()
        };
        setup.faults = FaultPlan {
            at_most: 1,
            from: vec![Fault::LoseReply { on }],
        };
        let run = run(setup, seed);
        let kept = stored(&run).is_some();
        match done(&run) {
            (201, _) => assert!(kept),
            (500, message) => {
                let version = if kept { "v1" } else { "v2" };
                let want = format!(
                    "conversion webhook for example.com/{version}, Kind=Widget failed: {LOST}"
                );
                assert_eq!(message, want, "seed {seed}");
                seen[usize::from(kept)] += 1;
            }
            other => panic!("seed {seed}: {other:?}"),
        }
        assert!(run.verdict.settled.is_some());
    }
    assert!(
        seen.iter().all(|n| *n > 0),
        "before and after the write: {seen:?}"
    );
}

#[test]
fn l9_a_late_answer_is_not_waited_for() {
    let late = Duration::from_secs(31);
    let run = run(
        setup(only_converts(late), widget("v2", "demo", json!({}))),
        0,
    );
    let want = format!("conversion webhook for example.com/v2, Kind=Widget failed: {LATE}");
    assert_eq!(done(&run), (500, want));
    assert_eq!(stored(&run), None);
    assert!(run.verdict.settled.is_some());
}

#[test]
fn l9_where_nobody_serves_only_the_storage_version_works() {
    let idle = || operator(|_: OperatorContext| std::future::pending::<()>());
    let run_of = |version| run(setup(idle(), widget(version, "demo", json!({}))), 0);
    assert_eq!(done(&run_of("v1")).0, 201);
    let want = "conversion webhook for example.com/v2, Kind=Widget failed: Post \"https://op.default.svc:443/convert?timeout=30s\": no endpoints available for service \"op\"";
    assert_eq!(done(&run_of("v2")), (500, want.to_owned()));
}

#[test]
fn l9_an_object_of_the_setup_is_converted_when_it_is_read() {
    let reads = converts(Duration::ZERO, |cx| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let widgets = api(&cx, "v2");
        let list = widgets.list(&ListParams::default()).await;
        for widget in list.expect("somebody converts") {
            tracing::info!("listed {}", widget.data["spec"]);
        }
        // What a watch begins with as well.
        let watch = widgets.watch(&WatchParams::default(), "0").await;
        let mut events = std::pin::pin!(watch.expect("somebody converts"));
        while let Some(Ok(event)) = futures::StreamExt::next(&mut events).await {
            if let WatchEvent::Added(widget) = event {
                tracing::info!("watched {}", widget.data["spec"]);
            }
        }
    });
    let mut setup = setup(reads, widget("v1", "other", json!({})));
    setup.operators[0].replicas = 1;
    setup.workload.clear();
    setup.objects.push(widget("v1", "demo", json!({"size": 5})));
    let run = run(setup, 0);
    let want = [r#"listed {"replicas":5}"#, r#"watched {"replicas":5}"#];
    assert_eq!(logs(&run), want);
}

#[test]
fn l9_an_object_of_the_setup_is_of_the_storage_version() {
    let mut setup = setup(only_converts(Duration::ZERO), Value::Null);
    setup.objects.push(widget("v2", "demo", json!({})));
    let error = Prepared::new(setup).err().expect("nobody converts");
    let error = error.to_string();
    assert!(
        error.ends_with("write the object in its storage version"),
        "{error}"
    );
}

/// A watch of the other version ends when a form is missing; whoever lists again has it converted.
#[test]
fn l9_a_watch_never_shows_an_object_in_another_versions_form() {
    let watches = converts(Duration::ZERO, |cx| async move {
        let (v1, v2) = (api(&cx, "v1"), api(&cx, "v2"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let list = v2.list(&ListParams::default()).await.expect("it is empty");
        let from = list.metadata.resource_version.unwrap_or_default();
        let watch = v2.watch(&WatchParams::default(), &from).await;
        let mut events = std::pin::pin!(watch.expect("it opens"));
        let writes = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let object = serde_json::from_value(widget("v1", "demo", json!({"size": 7})));
            let created = v1
                .create(&PostParams::default(), &object.expect("a Widget"))
                .await;
            tracing::info!("created: {}", created.is_ok());
        };
        let reads = async {
            match futures::StreamExt::next(&mut events).await {
                Some(Ok(WatchEvent::Added(widget))) => {
                    tracing::info!("saw {}", widget.data["spec"])
                }
                None => tracing::info!("ended"),
                other => tracing::info!("{other:?}"),
            }
        };
        futures::join!(writes, reads);
        for widget in v2.list(&ListParams::default()).await.into_iter().flatten() {
            tracing::info!("listed {}", widget.data["spec"]);
        }
    });
    const SEVEN: &str = r#"listed {"replicas":7}"#;
    let (mut ended, mut saw) = (0, 0);
    for seed in 0..80 {
        let mut setup = setup(watches.clone(), Value::Null);
        setup.operators[0].replicas = 1;
        setup.workload.clear();
        let on = RequestFilter {
            webhooks: vec!["*".into()],
            ..RequestFilter::default()
        };
        setup.faults = FaultPlan {
            at_most: 1,
            from: vec![Fault::LoseReply { on }],
        };
        let run = run(setup, seed);
        let mut logs = logs(&run);
        logs.sort_unstable();
        match logs.as_slice() {
            ["created: true", "ended", SEVEN] => ended += 1,
            ["created: true", SEVEN, r#"saw {"replicas":7}"#] => saw += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(ended > 0 && saw > 0, "{ended} ended, {saw} saw it");
}
