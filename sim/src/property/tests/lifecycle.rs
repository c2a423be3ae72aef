//! `no-task-leak`, `bounded-queue` and `deadline-honoured`: what is left behind, what piles up, what takes too long.

#![expect(
    clippy::disallowed_methods,
    reason = "operators spawn tasks; that is the test"
)]

use super::*;

fn restart() -> WorkloadStep {
    WorkloadStep {
        at: SimTime(5_000_000),
        action: Action::Restart {
            operator: "op".into(),
            down: Duration::from_secs(2),
        },
    }
}

/// Runs a loop beside its main function, which lets it go or takes it along.
fn companion(joined: bool) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let api: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        let companion = tokio::spawn(async move {
            loop {
                let _ = api.get_opt("main").await;
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        });
        cx.shutdown.requested().await;
        if joined {
            companion.abort();
            let _ = companion.await;
        }
    })
}

pub(super) fn no_task_leak_fires_on_a_task_let_go_and_not_on_one_taken_along() {
    for (joined, want) in [(false, Some("no-task-leak")), (true, None)] {
        let mut setup = setup(companion(joined), 2);
        setup.workload = vec![restart()];
        let runs = check_seeds(setup, want, 8);
        let leaks = |run: &Run| run.verdict.violated() == ["no-task-leak"];
        assert!(joined || runs.iter().all(leaks));
        let messages = runs.iter().flat_map(|run| &run.verdict.findings);
        for finding in messages.filter(|_| cfg!(tokio_unstable)) {
            let (said, places) = finding
                .message
                .split_once(", spawned at ")
                .expect("it names the place");
            assert!(said.starts_with("op-") && said.contains(" has stopped, and "));
            // Its client has a task too, which lives as long as it.
            let ours = places
                .split(" and ")
                .filter(|place| place.starts_with(file!()));
            assert_eq!(ours.count(), 1, "{places}");
            assert!(!places.contains("registry"), "{places}");
        }
    }
}

#[test]
fn no_task_leak_says_nothing_of_a_crash() {
    let mut setup = setup(companion(false), 2);
    setup.faults = FaultPlan {
        at_most: 2,
        from: vec![Fault::Crash {
            operator: None,
            after: crate::setup::CrashPoint::AnyRequest,
            restart: DurationRange::fixed(Duration::from_secs(1)),
        }],
    };
    check_seeds(setup, None, 8);
}

/// Answers each event with a crowd of tasks.
fn crowd(of: usize) -> crate::operator::OperatorFn {
    maps(move |_, _| async move {
        for _ in 0..of {
            tokio::spawn(tokio::time::sleep(Duration::from_secs(1)));
        }
        Ok(Next::await_change())
    })
}

/// Asks for many things at once, or for one after the other.
fn questions(at_once: bool) -> crate::operator::OperatorFn {
    maps(move |_, ctx| async move {
        let api = api(&ctx);
        let asks = (0..120).map(|n| {
            let api = api.clone();
            async move { api.get_opt(&format!("map-{n}")).await }
        });
        if at_once {
            futures::future::try_join_all(asks).await?;
        } else {
            for ask in asks {
                ask.await?;
            }
        }
        Ok(Next::await_change())
    })
}

pub(super) fn bounded_queue_fires_on_a_crowd_of_tasks_or_requests_and_not_on_a_few() {
    let bounded = Some("bounded-queue");
    check_seeds(setup(crowd(200), 1), bounded, 4);
    check_seeds(setup(crowd(20), 1), None, 4);
    check_seeds(setup(questions(true), 1), bounded, 4);
    check_seeds(setup(questions(false), 1), None, 4);
}

/// Takes its time.
fn slow(seconds: u64) -> crate::operator::OperatorFn {
    maps(move |_, _| async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok(Next::await_change())
    })
}

pub(super) fn deadline_honoured_fires_on_a_reconcile_without_end_and_not_on_a_pause() {
    let late = Some("deadline-honoured");
    check_seeds(setup(slow(45), 1), late, 4);
    let mut paused = setup(slow(20), 1);
    paused.workload = vec![poke(3_000, json!({"data": {"a": "1"}}))];
    paused.faults = FaultPlan {
        at_most: 2,
        from: vec![Fault::Pause {
            operator: None,
            lasting: DurationRange::fixed(Duration::from_secs(60)),
        }],
    };
    check_seeds(paused, None, 12);
}

#[test]
fn deadline_honoured_fires_where_a_server_stalls_and_nobody_limits_the_wait() {
    let ask = |limited: bool| {
        maps(move |_, ctx| async move {
            let api = api(&ctx);
            let ask = api.get_opt("other");
            if limited {
                let _ = tokio::time::timeout(Duration::from_secs(5), ask).await;
            } else {
                ask.await?;
            }
            Ok(Next::await_change())
        })
    };
    for (limited, want) in [(false, Some("deadline-honoured")), (true, None)] {
        let mut setup = setup(ask(limited), 1);
        setup.workload = vec![poke(3_000, json!({"data": {"a": "1"}}))];
        setup.faults = FaultPlan {
            at_most: 1,
            from: vec![Fault::StallReply {
                on: crate::setup::RequestFilter {
                    verbs: vec!["get".into()],
                    ..Default::default()
                },
                lasting: DurationRange::fixed(Duration::from_secs(120)),
            }],
        };
        check_seeds(setup, want, 16);
    }
}
