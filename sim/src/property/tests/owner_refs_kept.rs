//! `owner-refs-kept`: two operators that share a child, with a list of owners that is replaced whole and one that is
//! guarded by a version.

use super::*;

/// Puts its own owner, a ConfigMap called as the operator is, among the owners of `shared`.
fn co_owner(guarded: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        while !cx.name.is_empty() {
            let (Ok(owner), Ok(shared)) = (api.get(&cx.name).await, api.get("shared").await) else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let mut owners = shared.owner_references().to_vec();
            if owners
                .iter()
                .any(|one| Some(&one.uid) == owner.metadata.uid.as_ref())
            {
                tokio::time::sleep(Duration::from_secs(20)).await;
                continue;
            }
            owners.extend(owner.owner_ref(&()));
            let mut patch = json!({"metadata": {"ownerReferences": owners}});
            if guarded {
                patch["metadata"]["resourceVersion"] = json!(shared.resource_version());
            }
            let _ = api
                .patch("shared", &PatchParams::default(), &Patch::Merge(patch))
                .await;
        }
    })
}

fn with(guarded: bool) -> Setup {
    let mut setup = setup(co_owner(guarded), 1);
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}});
    setup.objects = vec![map("a"), map("b"), map("shared")];
    let mut other = setup.operators[0].clone();
    setup.operators[0].name = "a".into();
    other.name = "b".into();
    setup.operators.push(other);
    setup
}

pub(super) fn owner_refs_kept_fires_on_a_blind_list_and_not_on_a_guarded_one() {
    let runs = check(with(false), Some("owner-refs-kept"));
    let mut findings = runs.iter().flat_map(|run| &run.verdict.findings);
    let finding = findings.find(|finding| finding.property == "owner-refs-kept");
    let message = &finding.expect("it fires").message;
    assert!(
        message.contains("takes away the owner configmaps/default/"),
        "{message}"
    );
    check(with(true), None);
}

/// Takes its own owner away again: that is its right.
#[test]
fn owner_refs_kept_is_silent_on_a_release() {
    let release = maps(|map, ctx| async move {
        let api = api(&ctx);
        let Some(child) = api.get_opt("child").await? else {
            let mut child = ConfigMap::default();
            child.metadata.name = Some("child".into());
            child.metadata.owner_references =
                map.controller_owner_ref(&()).map(|owner| vec![owner]);
            let _ = api.create(&PostParams::default(), &child).await;
            return Ok(Next::requeue(Duration::from_secs(1)));
        };
        if !child.owner_references().is_empty() {
            let patch = json!({"metadata": {"ownerReferences": null}});
            api.patch("child", &PatchParams::default(), &Patch::Merge(patch))
                .await?;
        }
        Ok(Next::await_change())
    });
    check(setup(release, 1), None);
}
