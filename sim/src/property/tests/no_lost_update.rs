//! `no-lost-update`: a blind patch and a guarded one.

use super::*;

pub(super) fn no_lost_update_fires_on_a_blind_patch_and_not_on_a_guarded_one() {
    check(
        setup(maps(|_, ctx| sign(ctx, false)), 2),
        Some("no-lost-update"),
    );
    check(setup(maps(|_, ctx| sign(ctx, true)), 2), None);
}
