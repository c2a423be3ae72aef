//! `no-duplicate-create`: generated names and fixed ones.

use super::*;

pub(super) fn no_duplicate_create_fires_on_generated_names_and_not_on_fixed_ones() {
    check(
        setup(maps(|map, ctx| ensure_child(map, ctx, false)), 2),
        Some("no-duplicate-create"),
    );
    check(
        setup(maps(|map, ctx| ensure_child(map, ctx, true)), 2),
        None,
    );
}
