//! `bounded-requests`: retries without a pause, and with one.

use super::*;

/// Writes what the server never takes, again and again.
fn stubborn(pause: Duration) -> crate::operator::OperatorFn {
    maps(move |_, ctx| async move {
        for _ in 0..300 {
            let patch = json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}});
            let done = api(&ctx)
                .patch("main", &PatchParams::default(), &Patch::Merge(patch))
                .await;
            if done.is_ok() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Ok(Next::await_change())
    })
}

fn with(run: crate::operator::OperatorFn, params: serde_json::Value) -> Setup {
    let mut setup = setup(run, 1);
    setup.settle.force = false;
    let property = crate::property::builtin_with("bounded-requests", &params);
    setup.properties = vec![property.expect("parameters that fit")];
    setup
}

pub(super) fn bounded_requests_fires_on_retries_without_a_pause_and_not_on_patient_ones() {
    let none = json!(null);
    let runs = check_seeds(
        with(stubborn(Duration::from_millis(10)), none.clone()),
        Some("bounded-requests"),
        6,
    );
    let message = &runs[0].verdict.findings[0].message;
    assert!(
        message.starts_with("101 times patch configmaps/default/main within 10s"),
        "{message}"
    );
    assert!(
        message.ends_with("100 of them were answered with an error"),
        "{message}"
    );
    check_seeds(with(stubborn(Duration::from_millis(500)), none), None, 6);
}

#[test]
fn bounded_requests_follows_its_parameters() {
    let patient = || stubborn(Duration::from_millis(500));
    check_seeds(
        with(patient(), json!({"per": "1m", "atMost": 60})),
        Some("bounded-requests"),
        6,
    );
    let hasty = stubborn(Duration::from_millis(10));
    check_seeds(with(hasty, json!({"atMost": 100_000})), None, 6);
}
