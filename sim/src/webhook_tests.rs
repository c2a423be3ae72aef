//! Webhooks served by an operator inside a run: called, refused, timed out, cancelled, and linked to what they cause.

use std::time::Duration;

use bytes::Bytes;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::event::{Event, ReplicaId};
use crate::operator::{OperatorContext, OperatorFn, operator};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::setup::{
    Action, Fault, FaultPlan, Mode, OperatorSetup, RequestFilter, Setup, WorkloadStep,
};
use crate::time::{DurationRange, SimTime};

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

fn create(at_s: u64, name: &str) -> WorkloadStep {
    WorkloadStep {
        at: SimTime(at_s * 1_000_000),
        action: Action::Create { object: map(name) },
    }
}

/// Reviews each new ConfigMap called `demo…`.
fn configuration(kind: &str, client_config: Value, failure_policy: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "hooks"},
        "webhooks": [{
            "name": "demo.example.com", "clientConfig": client_config, "admissionReviewVersions": ["v1"],
            "sideEffects": "None", "failurePolicy": failure_policy, "timeoutSeconds": 2,
            "matchConditions": [{"name": "demo", "expression": "request.name.startsWith('demo')"}],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        }],
    })
}

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "op", "namespace": "default"},
        "spec": {"ports": [{"port": 443}]}})
}

fn own_service(path: &str) -> Value {
    json!({"service": {"name": "op", "namespace": "default", "path": path}})
}

/// The answer to a review: what `decide` adds to `{"uid": …, "allowed": true}`.
fn answer(request: &http::Request<Bytes>, add: Value) -> http::Response<Bytes> {
    let review: Value = serde_json::from_slice(request.body()).expect("a review is JSON");
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    for (key, value) in add.as_object().into_iter().flatten() {
        response[key] = value.clone();
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    http::Response::new(Bytes::from(review.to_string()))
}

fn setup(run: OperatorFn, replicas: u32, objects: Vec<Value>) -> Setup {
    Setup {
        name: "webhooks".into(),
        objects,
        operators: vec![OperatorSetup {
            name: "op".into(),
            replicas,
            namespace: "default".into(),
            run,
        }],
        workload: vec![create(1, "demo")],
        ..Setup::default()
    }
}

fn run(setup: Setup, seed: u64) -> Run {
    let prepared = Prepared::new(setup).expect("the server takes the setup");
    prepared.run(&Input::Seed(seed), RunOptions::default())
}

/// Status and message of the workload's only step.
fn done(run: &Run) -> (u16, String) {
    let found = run
        .trace
        .records
        .iter()
        .find_map(|record| match &record.event {
            Event::WorkloadDone {
                status, message, ..
            } => Some((*status, message.clone())),
            _ => None,
        });
    found.unwrap_or_else(|| panic!("the step is done: {:#?}", run.trace.records))
}

fn why(run: &Run) -> Vec<&str> {
    let failed = run
        .trace
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::WebhookFailed { why, .. } => Some(why.as_str()),
            _ => None,
        });
    failed.collect()
}

fn denies() -> OperatorFn {
    operator(|cx: OperatorContext| async move {
        let serving = cx.serve_webhook("/validate", |request| async move {
            answer(
                &request,
                json!({"allowed": false, "status": {"code": 403, "message": "not today"}}),
            )
        });
        serving.await
    })
}

#[test]
fn a_validating_webhook_answers() {
    let hooks = configuration(
        "ValidatingWebhookConfiguration",
        own_service("/validate"),
        "Fail",
    );
    for seed in 0..6 {
        let run = run(setup(denies(), 2, vec![service(), hooks.clone()]), seed);
        let denied = "admission webhook \"demo.example.com\" denied the request: not today";
        assert_eq!(done(&run), (403, denied.to_owned()), "seed {seed}");
        assert!(run.verdict.settled.is_some(), "nothing is left waiting");
    }
}

#[test]
fn a_mutating_webhook_changes_what_is_stored() {
    let patches = operator(|cx: OperatorContext| async move {
        let serving = cx.serve_webhook("https://hooks.example/mutate", |request| async move {
            // [{"op":"add","path":"/data","value":{"a":"b"}}]
            let patch = "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2RhdGEiLCJ2YWx1ZSI6eyJhIjoiYiJ9fV0=";
            answer(&request, json!({"patchType": "JSONPatch", "patch": patch}))
        });
        serving.await
    });
    // Its certificate is not what is tried here: any bundle will do.
    let url = json!({"url": "https://hooks.example/mutate", "caBundle": "YQ=="});
    let hooks = configuration("MutatingWebhookConfiguration", url, "Fail");
    let run = run(setup(patches, 1, vec![hooks]), 1);
    assert_eq!(done(&run).0, 201);
    let stored = run.trace.bodies.values().any(|body| {
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        object["metadata"]["uid"].is_string() && object["data"]["a"] == "b"
    });
    assert!(stored);
}

#[test]
fn where_nobody_serves_the_server_says_what_a_real_one_does() {
    let idle = || operator(|_: OperatorContext| std::future::pending::<()>());
    let check = |run_it: OperatorFn, config: Value, policy, want_status, want_why: &str| {
        let hooks = configuration("ValidatingWebhookConfiguration", config, policy);
        let run = run(setup(run_it, 1, vec![service(), hooks]), 0);
        let (status, message) = done(&run);
        assert_eq!(status, want_status, "{message}");
        assert_eq!(why(&run), [want_why]);
    };
    let none = "no endpoints available for service \"op\"";
    check(idle(), own_service("/validate"), "Fail", 500, none);
    check(idle(), own_service("/validate"), "Ignore", 201, none);
    let hooks = configuration(
        "ValidatingWebhookConfiguration",
        own_service("/other"),
        "Fail",
    );
    let run = run(setup(denies(), 1, vec![service(), hooks]), 0);
    let not_found = "Internal error occurred: failed calling webhook \"demo.example.com\": failed to call webhook: the server could not find the requested resource";
    assert_eq!(done(&run), (500, not_found.to_owned()));
}

#[test]
fn a_slow_handler_is_given_up_and_ends() {
    struct Tell(OperatorContext);
    impl Drop for Tell {
        fn drop(&mut self) {
            tracing::info!("the handler of {} is dropped", self.0.identity);
        }
    }
    let slow = operator(|cx: OperatorContext| async move {
        let own = cx.clone();
        let serving = cx.serve_webhook("/validate", move |request| {
            let tell = Tell(own.clone());
            async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                drop(tell);
                answer(&request, json!({}))
            }
        });
        serving.await
    });
    let hooks = configuration(
        "ValidatingWebhookConfiguration",
        own_service("/validate"),
        "Fail",
    );
    let prepared = Prepared::new(setup(slow, 1, vec![service(), hooks])).expect("a setup");
    let options = RunOptions {
        logs: true,
        ..RunOptions::default()
    };
    let run = prepared.run(&Input::Seed(0), options);
    let (status, message) = done(&run);
    assert_eq!(status, 500);
    assert!(message.ends_with("context deadline exceeded"), "{message}");
    assert_eq!(why(&run), ["context deadline exceeded"]);
    assert_eq!(run.trace.logs.len(), 1, "{:?}", run.trace.logs);
    assert_eq!(run.trace.logs[0].at, SimTime(3_000_000), "with the request");
}

#[test]
fn a_lost_answer_is_a_closed_connection_and_a_refusal_an_error() {
    let hooks = configuration(
        "ValidatingWebhookConfiguration",
        own_service("/validate"),
        "Fail",
    );
    let mut seen = 0;
    for seed in 0..40 {
        let mut setup = setup(denies(), 2, vec![service(), hooks.clone()]);
        setup.faults = FaultPlan {
            at_most: 1,
            from: vec![
                Fault::LoseReply {
                    on: RequestFilter {
                        webhooks: vec!["/validate".into()],
                        ..RequestFilter::default()
                    },
                },
                Fault::Refuse {
                    on: RequestFilter {
                        webhooks: vec!["*".into()],
                        ..RequestFilter::default()
                    },
                    status: 503,
                    retry_after_s: None,
                },
            ],
        };
        let run = run(setup, seed);
        let (status, message) = done(&run);
        match why(&run).as_slice() {
            [] if status == 403 => {}
            [] => assert!(message.contains("currently unable"), "{message}"),
            ["EOF"] => {
                assert!(message.ends_with(": EOF"), "{message}");
                seen += 1;
            }
            // In a controlled schedule time may pass while the call is on its way.
            ["context deadline exceeded"] => {}
            other => panic!("{other:?}"),
        }
        assert!(run.verdict.settled.is_some());
    }
    assert!(seen > 0, "a lost answer was seen");
}

#[test]
fn what_a_handler_asks_is_linked_to_its_call() {
    let records = operator(|cx: OperatorContext| async move {
        let client = cx.client.clone();
        let serving = cx.serve_webhook("/validate", move |request| {
            let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
                Api::namespaced(client.clone(), "default");
            async move {
                let record = serde_json::from_value(map("record")).expect("a ConfigMap");
                let _ = api.create(&PostParams::default(), &record).await;
                answer(&request, json!({}))
            }
        });
        serving.await
    });
    let hooks = configuration(
        "ValidatingWebhookConfiguration",
        own_service("/validate"),
        "Fail",
    );
    let make = |mode| Setup {
        mode,
        ..setup(records.clone(), 1, vec![service(), hooks.clone()])
    };
    for mode in [Mode::Timed, Mode::Controlled] {
        let first = run(make(mode), 3);
        assert_eq!(done(&first).0, 201);
        let linked = first.trace.records.iter().any(|record| {
            matches!(
                &record.event,
                Event::RequestSent {
                    replica: ReplicaId(0),
                    webhook: Some(_),
                    ..
                }
            )
        });
        assert!(linked);
        assert_eq!(first.fingerprint(), run(make(mode), 3).fingerprint());
    }
}

#[test]
fn a_caller_that_dies_ends_the_call() {
    let both = operator(|cx: OperatorContext| async move {
        let serving = cx.serve_webhook("/validate", |request| async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            answer(&request, json!({}))
        });
        let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
            Api::namespaced(cx.client.clone(), "default");
        let creating = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let record = serde_json::from_value(map("demo-own")).expect("a ConfigMap");
            let limit = Duration::from_millis(100);
            let _ = tokio::time::timeout(limit, api.create(&PostParams::default(), &record)).await;
            std::future::pending::<()>().await;
        };
        futures::join!(serving, creating).0
    });
    let hooks = configuration(
        "ValidatingWebhookConfiguration",
        own_service("/validate"),
        "Fail",
    );
    let mut setup = setup(both, 1, vec![service(), hooks]);
    setup.timing.request = DurationRange::ms(1, 2);
    let run = run(setup, 0);
    assert_eq!(why(&run), ["context canceled"]);
    let stored = |record: &crate::trace::Record| {
        record
            .event
            .changes()
            .iter()
            .any(|change| change.object.name == "demo-own")
    };
    assert!(!run.trace.records.iter().any(stored), "it was not stored");
    assert!(run.verdict.settled.is_some());
}
