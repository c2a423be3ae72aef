//! The conventions of telemetry: for each an operator that breaks it, and a twin that keeps it.

#![expect(
    clippy::disallowed_methods,
    reason = "operators spawn tasks; that is the test"
)]

use super::*;
use crate::service::{ServiceKind, ServiceSetup};
use crate::setup::{Mode, Telemetry};

/// Whether the property is broken in some of twelve runs.
fn broken(property: &str, run: crate::operator::OperatorFn, add: impl Fn(&mut Setup)) -> bool {
    let mut setup = Setup {
        properties: builtin(property).into_iter().collect(),
        settle: crate::setup::Settle::default(),
        telemetry: Telemetry {
            scrape: Some(Duration::from_secs(15)),
            ..Telemetry::default()
        },
        ..setup(run, 1)
    };
    add(&mut setup);
    let runs = runs(setup, 0..12);
    assert!(runs.iter().all(|run| run.verdict.settled.is_some()));
    runs.iter()
        .any(|run| run.verdict.violated().contains(&property))
}

/// A client that puts a header on each request, or none.
fn traced(cx: &OperatorContext, header: Option<String>) -> Client {
    let service = tower::ServiceBuilder::new()
        .map_request(move |mut request: http::Request<kube::client::Body>| {
            if let Some(header) = header.as_deref().and_then(|text| text.parse().ok()) {
                request.headers_mut().insert("traceparent", header);
            }
            request
        })
        .service(cx.transport.clone());
    Client::new(service, "default")
}

/// Writes once for each change, with that header, and from that reconcile or from a task of its own.
fn writer(header: Option<String>, detached: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| {
        let header = header.clone();
        async move {
            let api: Api<ConfigMap> = Api::namespaced(traced(&cx, header), "default");
            let main = Api::<ConfigMap>::namespaced(cx.client.clone(), "default");
            Controller::new(main, watcher::Config::default().labels("main=yes"))
                .run(
                    move |_, api: Arc<Api<ConfigMap>>| async move {
                        let write = async move {
                            let patch = Patch::Merge(json!({"data": {"seen": "yes"}}));
                            let _ = api.patch("main", &PatchParams::default(), &patch).await;
                        };
                        if detached {
                            tokio::spawn(write);
                        } else {
                            write.await;
                        }
                        Ok(Next::await_change())
                    },
                    |_, _: &kube::Error, _| Next::requeue(Duration::from_secs(1)),
                    Arc::new(api),
                )
                .for_each(|_| std::future::ready(()))
                .await;
        }
    })
}

pub(super) fn traced_writes_fires_without_header_or_span() {
    let good = format!("00-{:032x}-{:016x}-01", 1, 2);
    let broken = |header, detached| broken("traced-writes", writer(header, detached), |_| ());
    assert!(broken(None, false));
    assert!(broken(Some("00-0-0-01".to_owned()), false));
    assert!(broken(Some(good.clone()), true));
    assert!(!broken(Some(good), false));
}

/// Shows that text as its metrics.
fn shows(text: &'static str) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        cx.metrics.register(move || text.to_owned());
        std::future::pending::<()>().await;
    })
}

pub(super) fn metric_rules_fires_on_names_off_convention() {
    let broken = |text| broken("metric-rules", shows(text), |_| ());
    assert!(broken("Reconciles 1\n"));
    assert!(broken("# TYPE op_work_done counter\nop_work_done 1\n"));
    assert!(broken("op_work_queue_depth no number\n"));
    assert!(!broken(
        "# TYPE op_work_done_total counter\nop_work_done_total 1\n"
    ));
}

pub(super) fn bounded_metric_fires_on_a_long_queue() {
    let broken = |text| broken("bounded-metric", shows(text), |_| ());
    assert!(broken("op_work_queue_depth 101\n"));
    assert!(!broken(
        "op_work_queue_depth 100\nop_work_done_total 1000\n"
    ));
}

pub(super) fn one_tenant_per_series_fires_on_a_mix() {
    let broken = |text| broken("one-tenant-per-series", shows(text), |_| ());
    let good = "a{namespace=\"x\",tenant=\"red\"} 1\na{namespace=\"y\",tenant=\"blue\"} 1\n";
    assert!(!broken(good));
    assert!(broken(
        "a{namespace=\"x\",tenant=\"red\"} 1\na{namespace=\"x\",tenant=\"blue\"} 1\n"
    ));
}

pub(super) fn whole_traces_fires_on_a_child_without_its_parent() {
    let exports = |spans: serde_json::Value| {
        operator(move |cx: OperatorContext| {
            let batch = json!({"spans": spans.clone()});
            async move {
                let _ = cx
                    .service("otel")
                    .request("POST", "/v1/traces", batch)
                    .await;
                std::future::pending::<()>().await;
            }
        })
    };
    let work = DurationRange::ms(1, 10);
    let kind = ServiceKind::Collector { work, capacity: 1 };
    let broken = |spans| {
        broken("whole-traces", exports(spans), |setup| {
            setup.services.push(ServiceSetup::new("otel", kind.clone()));
        })
    };
    let child = json!({"trace": "t", "span": "c", "parent": "r"});
    assert!(broken(json!([child])));
    assert!(!broken(
        json!([child, {"trace": "t", "span": "r", "parent": null}])
    ));
}

pub(super) fn ready_after_sync_fires_on_a_webhook_that_is_served_too_early() {
    let serves = |waits: bool| {
        operator(move |cx: OperatorContext| async move {
            let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
            let (synced, ready) = futures::channel::oneshot::channel();
            let listing = async move {
                while api.list(&ListParams::default()).await.is_err() {}
                let _ = synced.send(());
            };
            let serving = async {
                if waits {
                    let _ = ready.await;
                }
                cx.serve_webhook("/validate", |_| async { http::Response::default() })
                    .await
            };
            futures::join!(listing, serving).1
        })
    };
    let broken = |waits| {
        broken("ready-after-sync", serves(waits), |setup| {
            setup.mode = Mode::Timed;
            setup.timing.request = DurationRange::ms(1, 500);
            setup.objects.push(json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "op", "namespace": "default"}, "spec": {"ports": [{"port": 443}]}}));
            setup.objects.push(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "hooks"}, "webhooks": [{
                    "name": "demo.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                    "clientConfig": {"service": {"name": "op", "namespace": "default", "path": "/validate"}},
                    "failurePolicy": "Ignore", "timeoutSeconds": 2,
                    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["configmaps"]}],
                }],
            }));
            for n in 0..8 {
                setup
                    .workload
                    .push(poke(20 * n, json!({"data": {"n": n.to_string()}})));
            }
        })
    };
    assert!(broken(false));
    assert!(!broken(true));
}
