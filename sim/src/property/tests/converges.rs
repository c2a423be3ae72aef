//! `converges`: two replicas that fight.

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
