//! `idempotent`: a counter and a constant.

use super::*;

#[test]
fn idempotent_fires_on_a_counter_and_not_on_a_constant() {
    let count = |constant: bool| {
        maps(move |map, ctx| async move {
            let said = map.data.clone().unwrap_or_default();
            let count: u32 = said
                .get("count")
                .and_then(|count| count.parse().ok())
                .unwrap_or(0);
            let next = if constant { 1 } else { count + 1 };
            // The object's own change must not start it again at once: that would be a hot loop, not this mutant.
            let fresh = map.metadata.annotations.clone().unwrap_or_default();
            if !constant && fresh.get("by") == Some(&format!("{}-{}", ctx.identity, boot()))
                || constant && count == 1
            {
                return Ok(Next::await_change());
            }
            let by = format!("{}-{}", ctx.identity, boot());
            let by = if constant { "all".to_owned() } else { by };
            let patch = json!({"metadata": {"annotations": {"by": by}}, "data": {"count": next.to_string()}});
            api(&ctx)
                .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                .await?;
            Ok(Next::await_change())
        })
    };
    check(setup(count(false), 1), Some("idempotent"));
    check(setup(count(true), 1), None);
}

/// A number that is another one in each incarnation: when the runtime of the process began.
fn boot() -> u64 {
    thread_local! { static BOOT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) }; }
    let now = crate::entropy::now().as_us() / 60_000_000;
    BOOT.with(|boot| boot.set(now));
    BOOT.with(std::cell::Cell::get)
}
