//! An operator that waits for a Deployment: one that believes any count, and one that asks whose count it is.
//!
//! ```text
//!   time   operator                 API server                  deployment controller
//!    │     image = web:2  ───────▶  generation 2
//!    │     status: 2 ready    ◀───  observedGeneration 1         (has not looked yet)
//!    │     rolled-out = web:2 ───▶   └── two Pods of web:1       observedGeneration 2
//!    ▼                                                           … web:2 starts
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{Action as Next, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use crate::operator::{OperatorContext, OperatorFn, operator};
use crate::property::{View, always, builtin, eventually};
use crate::run::{Prepared, Run, RunOptions};
use crate::schedule::Input;
use crate::setup::{Action, Actor, OperatorSetup, PatchType, Setup, Target, WorkloadStep};
use crate::time::SimTime;

const ROLLED_OUT: &str = "rolled-out";
const REPLICAS: usize = 2;

fn wanted(app: &ConfigMap) -> String {
    let data = app.data.as_ref().and_then(|data| data.get("image"));
    data.cloned().unwrap_or_default()
}

/// Whether the Deployment's status says that all of its replicas run what was asked for.
fn is_rolled_out(web: &Deployment, asks_whose: bool) -> bool {
    let Some(status) = &web.status else {
        return false;
    };
    let of_this = status.observed_generation == web.metadata.generation;
    let all = Some(REPLICAS as i32);
    (of_this || !asks_whose)
        && status.replicas == all
        && status.updated_replicas == all
        && status.available_replicas == all
}

async fn roll_out(
    app: Arc<ConfigMap>,
    client: Arc<Client>,
    asks_whose: bool,
) -> Result<Next, kube::Error> {
    let client = Client::clone(&client);
    let apps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let webs: Api<Deployment> = Api::namespaced(client, "default");
    let image = wanted(&app);
    let labels = json!({"app": "web"});
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "ownerReferences": [app.controller_owner_ref(&())]},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": image}]},
        }},
    });
    let apply = PatchParams::apply("waiting").force();
    let web = webs.patch("web", &apply, &Patch::Apply(web)).await?;
    let told = app.annotations().get(ROLLED_OUT);
    if is_rolled_out(&web, asks_whose) && told != Some(&image) {
        let patch = json!({"metadata": {
            "annotations": {ROLLED_OUT: image}, "resourceVersion": app.resource_version(),
        }});
        let params = PatchParams::default();
        apps.patch(&app.name_any(), &params, &Patch::Merge(patch))
            .await?;
    }
    // The Deployment's own changes bring it back here.
    Ok(Next::await_change())
}

fn waiting(asks_whose: bool) -> OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let apps = Api::<ConfigMap>::namespaced(cx.client.clone(), "default");
        let webs = Api::<Deployment>::namespaced(cx.client.clone(), "default");
        Controller::new(apps, watcher::Config::default().fields("metadata.name=app"))
            .owns(webs, watcher::Config::default())
            .run(
                move |app, client| roll_out(app, client, asks_whose),
                |_, _, _| Next::requeue(Duration::from_secs(1)),
                Arc::new(cx.client),
            )
            .for_each(|_| std::future::ready(()))
            .await;
    })
}

/// What is said to be rolled out runs, in as many Pods as it should.
fn is_true(view: &View<'_>) -> bool {
    let pods = view.list::<Pod>();
    let runs = |image: &str| {
        let of_image = pods.iter().filter(|pod| {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            containers
                .filter_map(|c| c.image.as_deref())
                .any(|one| one == image)
        });
        of_image.count() >= REPLICAS
    };
    let apps = view.list::<ConfigMap>();
    let told = apps
        .iter()
        .filter_map(|app| app.annotations().get(ROLLED_OUT));
    told.into_iter().all(|image| runs(image))
}

fn setup(asks_whose: bool) -> Setup {
    let mut actors = Setup::default().actors;
    actors.extend(Actor::workloads());
    let app = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "default"},
        "data": {"image": "web:1"},
    });
    let done = |view: &View<'_>| {
        let apps = view.list::<ConfigMap>();
        let told = apps
            .iter()
            .filter_map(|app| app.annotations().get(ROLLED_OUT));
        told.into_iter().any(|image| image == "web:2")
    };
    let mut properties = vec![eventually("the new image is rolled out", done)];
    properties.push(always("what is rolled out was made", is_true_once_told));
    properties.extend(builtin("converges"));
    Setup {
        name: "waiting".to_owned(),
        objects: vec![app],
        actors,
        operators: vec![OperatorSetup {
            name: "waiting".to_owned(),
            replicas: 1,
            namespace: "default".to_owned(),
            run: waiting(asks_whose),
        }],
        workload: vec![WorkloadStep {
            at: SimTime::after(Duration::from_secs(60)),
            action: Action::Patch {
                target: Target {
                    api_version: "v1".to_owned(),
                    kind: "ConfigMap".to_owned(),
                    namespace: "default".to_owned(),
                    name: "app".to_owned(),
                },
                subresource: None,
                patch: PatchType::Merge,
                body: json!({"data": {"image": "web:2"}}),
            },
        }],
        properties,
        ..Setup::default()
    }
}

/// Old Pods go while the next image is on its way, so that only the image that is asked for now is judged.
fn is_true_once_told(view: &View<'_>) -> bool {
    let apps = view.list::<ConfigMap>();
    let settled = apps
        .iter()
        .all(|app| app.annotations().get(ROLLED_OUT) == Some(&wanted(app)));
    !settled || is_true(view)
}

fn runs(asks_whose: bool, seeds: std::ops::Range<u64>) -> Vec<Run> {
    let prepared = Prepared::new(setup(asks_whose)).expect("the server takes the objects");
    let run = |seed| prepared.run(&Input::Seed(seed), RunOptions::default());
    seeds.map(run).collect()
}

#[test]
fn an_operator_that_waits_for_a_deployment_makes_progress() {
    for (seed, run) in runs(true, 0..40).iter().enumerate() {
        assert_eq!(run.verdict.findings, [], "seed {seed}");
        assert!(run.verdict.settled.is_some(), "seed {seed}");
    }
}

#[test]
fn one_that_does_not_ask_whose_count_it_is_tells_too_early() {
    let runs = runs(false, 0..40);
    let early = runs.iter().filter(|run| {
        let mut findings = run.verdict.findings.iter();
        findings.any(|finding| finding.property == "what is rolled out was made")
    });
    assert!(early.count() > 0, "no seed tells too early");
}
