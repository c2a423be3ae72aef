//! `status-not-ahead-of-spec`: a status computed from the old spec and an honest one.

use super::*;

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

pub(super) fn status_not_ahead_of_spec_fires_on_a_late_read_and_not_on_an_honest_status() {
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
