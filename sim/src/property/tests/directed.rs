//! A directed run.

use super::*;

#[test]
fn a_directed_run_holds_a_write_until_another_has_passed() {
    let prepared = Prepared::new(setup(maps(|_, ctx| sign(ctx, false)), 2)).expect("a setup");
    let run = prepared.direct(&Input::Seed(0), RunOptions::default(), |world| {
        let slow = world.requests_of("op-1");
        let sent = |event: &crate::event::Event| {
            matches!(event, crate::event::Event::RequestSent { replica, call, .. } if replica.0 == 1 && call.verb == "patch")
        };
        let wrote = |event: &crate::event::Event| {
            matches!(event, crate::event::Event::RequestCommitted { replica, changes, .. } if replica.0 == 0 && !changes.is_empty())
        };
        assert!(world.run_until_event(sent));
        world.hold(slow);
        assert!(world.run_until_event(wrote) || world.look().of_kind("ConfigMap").iter().any(|map| map.at(&["data", "signed"]).is_some()));
        world.release(slow);
        assert!(world.run_until_settled());
    });
    assert_eq!(run.verdict.violated(), ["no-lost-update"]);
}
