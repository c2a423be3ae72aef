//! `unique-effect`: a child with a generated name, made again after a lost reply, and one with a fixed name; a volume of a
//! cloud without a key, and one with.

use super::*;
use crate::service_tests::{cloud, maker, on_cloud};

/// Makes the child before it has looked, and notes that it has.
async fn make(map: Arc<ConfigMap>, ctx: Ctx, fixed_name: bool) -> Done {
    let api = api(&ctx);
    if map
        .data
        .as_ref()
        .is_some_and(|data| data.contains_key("made"))
    {
        return Ok(Next::await_change());
    }
    let mut child = ConfigMap::default();
    match fixed_name {
        true => child.metadata.name = Some("child".into()),
        false => child.metadata.generate_name = Some("child-".into()),
    }
    match api.create(&PostParams::default(), &child).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        made => drop(made?),
    }
    let patch = json!({"data": {"made": "yes"}});
    api.patch("main", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(Next::await_change())
}

fn with(fixed_name: bool) -> Setup {
    let mut setup = setup(maps(move |map, ctx| make(map, ctx, fixed_name)), 1);
    setup.settle.force = false;
    let exactly = crate::property::builtin_with("unique-effect", &json!({"exactly": true}));
    setup.properties = vec![exactly.expect("parameters that fit")];
    setup.faults = FaultPlan {
        at_most: 2,
        from: vec![Fault::LoseReply {
            on: crate::setup::RequestFilter {
                verbs: vec!["create".into(), "patch".into()],
                ..Default::default()
            },
        }],
    };
    setup
}

pub(super) fn unique_effect_fires_on_a_second_child_and_not_on_a_fixed_name() {
    let runs = check(with(false), Some("unique-effect"));
    let mut findings = runs.iter().flat_map(|run| &run.verdict.findings);
    let message = &findings.next().expect("it fires").message;
    assert!(
        message.starts_with("op: create configmaps twice (child-"),
        "{message}"
    );
    assert!(
        message.ends_with("), and in the fault-free run once"),
        "{message}"
    );
    check(with(true), None);
}

pub(super) fn unique_effect_fires_on_a_second_volume_and_not_on_one_with_a_key() {
    let with = |keyed| {
        let mut setup = with(true);
        setup.operators[0].run = maker(keyed);
        setup.services = vec![cloud()];
        setup.faults.from = vec![Fault::LoseReply { on: on_cloud() }];
        setup
    };
    let runs = check_seeds(with(false), Some("unique-effect"), 60);
    let mut findings = runs.iter().flat_map(|run| &run.verdict.findings);
    assert_eq!(
        findings.next().expect("it fires").message,
        "op: create cloud/volumes/* twice, and in the fault-free run once"
    );
    check_seeds(with(true), None, 60);
}
