//! `no-panic`: a reconcile that panics.

use super::*;

#[test]
fn no_panic_fires_with_the_place() {
    let runs = check(
        setup(
            maps(|map, _| async move { panic!("no data in {}", map.name_any()) }),
            1,
        ),
        Some("no-panic"),
    );
    let finding = &runs[0].verdict.findings[0];
    assert!(
        finding.message.contains("no data in main"),
        "{}",
        finding.message
    );
    assert!(
        finding.message.contains("no_panic.rs"),
        "{}",
        finding.message
    );
}
