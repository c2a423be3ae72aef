//! Properties written as closures.

use super::*;

#[test]
fn closures_are_asked() {
    let mut setup = setup(maps(|_, ctx| sign(ctx, true)), 2);
    let signed = |view: &crate::property::View<'_>| {
        view.of_kind("ConfigMap")
            .iter()
            .any(|map| map.at(&["data", "signed"]).is_some())
    };
    setup.properties = vec![
        always("never signed", move |view| !signed(view)),
        eventually("signed in the end", signed),
        eventually("unsigned in the end", move |view| !signed(view)),
        sometimes("signed at some time", signed),
    ];
    for run in runs(setup, 0..4) {
        assert_eq!(
            run.verdict.violated(),
            ["never signed", "unsigned in the end"]
        );
        assert_eq!(run.verdict.reached, ["signed at some time"]);
    }
}
