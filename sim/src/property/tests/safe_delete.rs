//! `safe-delete`: a delete of what was never seen, and one behind a precondition.

use super::*;

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

pub(super) fn safe_delete_fires_on_an_object_never_seen_and_not_behind_a_precondition() {
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
