//! `finalizer-covers-cleanup` and `no-orphans`: a child that is left and one that is waited for.

use super::*;

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

pub(super) fn finalizer_covers_cleanup_fires_on_a_child_left_and_not_on_one_waited_for() {
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
