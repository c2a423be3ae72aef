//! `converges`: two replicas that fight, a loop that asks for ever, and many objects that are looked at once each.

use super::*;

#[test]
fn converges_fires_on_a_fight() {
    let fight = maps(|_, ctx| async move {
        let patch = json!({"data": {"winner": ctx.identity}});
        api(&ctx)
            .patch("main", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(Next::await_change())
    });
    let mut setup = setup(fight, 2);
    setup.settle.bound = Duration::from_secs(30);
    check_seeds(setup, Some("converges"), 3);
}

#[test]
fn converges_names_who_asks_for_ever() {
    let spin = maps(|_, ctx| async move {
        loop {
            let _ = api(&ctx).get_opt("settings").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut setup = setup(spin, 1);
    setup.properties = vec![builtin("converges").expect("it is built in")];
    for run in check_seeds(setup, Some("converges"), 3) {
        let finding = &run.verdict.findings[0];
        let message = &finding.message;
        assert!(message.starts_with("a hot loop: "), "{message}");
        assert!(
            message.ends_with("times: get configmaps/default/settings"),
            "{message}"
        );
        assert_eq!(finding.because.len(), 3);
    }
}

#[test]
fn converges_is_silent_on_many_objects_that_are_looked_at_once_each() {
    let look = maps(|map, ctx| async move {
        for n in 0..700 {
            let _ = api(&ctx).get_opt(&format!("part-{n}")).await?;
        }
        let _ = map;
        Ok(Next::await_change())
    });
    let mut setup = setup(look, 1);
    setup.properties = vec![builtin("converges").expect("it is built in")];
    check_seeds(setup, None, 3);
}
