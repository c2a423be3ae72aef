//! The world's own parts: bookmarks, connections, and what is done about mistakes of the fake API server.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fake_apiserver::server::Defect;
use futures::StreamExt;
use kube::runtime::watcher;

use super::{AT_ONCE_MAX, World};
use crate::entropy;
use crate::event::{Event, Phase, WatchEnd, Who};
use crate::operator::{OperatorContext, operator};
use crate::run::{Prepared, RunOptions};
use crate::schedule::Input;
use crate::setup::{
    Action, Fault, FaultPlan, Mode, OperatorSetup, RequestFilter, Setup, Until, WorkloadStep,
};
use crate::time::{SimTime, us};
use crate::trace::Record;

type ConfigMap = k8s_openapi::api::core::v1::ConfigMap;

/// An operator that watches ConfigMaps, and users who make two of them.
fn watching() -> Setup {
    let run = operator(|cx: OperatorContext| async move {
        let maps = kube::Api::<ConfigMap>::all(cx.client);
        let mut events = std::pin::pin!(watcher(maps, watcher::Config::default()));
        while events.next().await.is_some() {}
    });
    let create = |name: &str, seconds: u64| WorkloadStep {
        at: SimTime(seconds * 1_000_000),
        action: Action::Create {
            object: serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}
            }),
        },
    };
    Setup {
        operators: vec![OperatorSetup {
            name: "op".to_owned(),
            replicas: 2,
            namespace: "default".to_owned(),
            run,
        }],
        workload: vec![create("a", 1), create("b", 2)],
        ..Setup::default()
    }
}

fn run(defect: Option<Defect>) -> Result<(), String> {
    let prepared = Prepared::new(watching()).expect("a setup");
    let run = || {
        prepared.direct(&Input::Seed(3), RunOptions::default(), |world| {
            if let Some(defect) = defect {
                world.server.plant(defect);
            }
        })
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(run) => {
            assert_eq!(run.verdict.violated(), Vec::<String>::new());
            Ok(())
        }
        Err(panic) => Err(*panic.downcast::<String>().expect("a text")),
    }
}

#[test]
fn a_broken_guarantee_of_watches_ends_the_run_as_our_mistake() {
    assert_eq!(run(None), Ok(()));
    for defect in [
        Defect::Lose,
        Defect::Repeat,
        Defect::Mistake,
        Defect::BookmarkEarly,
    ] {
        let why = run(Some(defect)).expect_err("the run ends");
        assert!(
            why.starts_with("the fake API server broke a guarantee of watches")
                && why.contains(" of configmaps: "),
            "{defect:?}: {why}"
        );
    }
}

fn trace(setup: Setup, seed: u64) -> Vec<Record> {
    let prepared = Prepared::new(setup).expect("a setup");
    let run = prepared.run(&Input::Seed(seed), RunOptions::default());
    assert_eq!(run.verdict.violated(), Vec::<String>::new());
    run.trace.records
}

#[test]
fn bookmarks_arrive_at_times_of_the_seed() {
    let bookmarks = |seed| {
        let records = trace(watching(), seed).into_iter();
        let told = records.filter_map(|record| match record.event {
            Event::WatchDelivered {
                replica,
                kind,
                revision,
                ..
            } if kind == "BOOKMARK" => Some((replica, record.at, revision)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let mut times = BTreeSet::new();
    for seed in 0..8 {
        let told = bookmarks(seed);
        let replicas: BTreeSet<_> = told.iter().map(|(replica, ..)| *replica).collect();
        assert_eq!(replicas.len(), 2, "seed {seed}: {told:?}");
        assert!(told.iter().all(|(.., revision)| revision.is_some()));
        times.extend(told.iter().map(|(_, at, _)| *at));
        assert_eq!(told, bookmarks(seed));
    }
    assert!(times.len() > 10, "{times:?}");
}

#[test]
fn a_connection_that_is_over_is_followed_by_one_to_the_next_server() {
    let over = |setup: Setup, seeds: std::ops::Range<u64>, ends: &dyn Fn(&Event) -> bool| {
        let mut moved = 0;
        for seed in seeds {
            let records = trace(setup.clone(), seed);
            for (at, record) in records.iter().enumerate() {
                if !ends(&record.event) {
                    continue;
                }
                let sent = |record: &Record| match record.event {
                    Event::RequestSent {
                        replica, server, ..
                    } => Some((replica, server)),
                    _ => None,
                };
                let Who::Replica(replica) = record.event.who() else {
                    panic!("a replica's connection ends");
                };
                let of = |record: &Record| sent(record).filter(|(of, _)| *of == replica);
                let before = records[..at].iter().rev().find_map(of);
                let after = records[at..].iter().find_map(of);
                if let (Some((_, before)), Some((_, after))) = (before, after) {
                    assert_ne!(before, after, "seed {seed}, event {at}");
                    moved += 1;
                }
            }
        }
        moved
    };
    // An API server ends a watch after some minutes.
    let setup = Setup {
        servers: 2,
        until: Until::Time(SimTime(1_000_000_000)),
        ..watching()
    };
    let closed = |event: &Event| matches!(event, Event::WatchEnded { why, .. } if matches!(why, WatchEnd::Closed));
    assert!(over(setup.clone(), 0..2, &closed) > 2);
    let dropped = Setup {
        faults: FaultPlan {
            at_most: 1,
            from: vec![Fault::DropWatch {
                kind: None,
                operator: None,
            }],
        },
        ..setup
    };
    let lost = |event: &Event| matches!(event, Event::WatchEnded { why, .. } if matches!(why, WatchEnd::Dropped));
    assert!(over(dropped, 0..12, &lost) > 0);
}

/// One replica that asks without a pause, or rests for 5 ms after so many answers, for a second of controlled time; the
/// moments at which a request was carried out or a reply came.
fn asked_at(rests_after: Option<u32>) -> Vec<SimTime> {
    let run = operator(move |cx: OperatorContext| async move {
        let maps = kube::Api::<ConfigMap>::default_namespaced(cx.client);
        let mut asked = 0;
        while !cx.name.is_empty() {
            let _ = maps.get_opt("a").await;
            asked += 1;
            if rests_after.is_some_and(|many| asked % many == 0) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    });
    let setup = Setup {
        operators: vec![OperatorSetup {
            name: "op".to_owned(),
            replicas: 1,
            namespace: "default".to_owned(),
            run,
        }],
        mode: Mode::Controlled,
        until: Until::Time(SimTime(1_000_000)),
        ..Setup::default()
    };
    let records = trace(setup, 3).into_iter().filter(|record| {
        matches!(
            record.event,
            Event::RequestCommitted { .. } | Event::ReplyDelivered { .. }
        )
    });
    records.map(|record| record.at).collect()
}

#[test]
fn after_500_choices_in_one_instant_each_takes_a_millisecond() {
    let at = asked_at(None);
    let in_one_instant = at.iter().filter(|t| **t == at[0]).count();
    // Whatever else is chosen in that instant counts too.
    let at_once_max = AT_ONCE_MAX as usize;
    assert!((at_once_max - 5..=at_once_max).contains(&in_one_instant));
    let after = &at[in_one_instant - 1..];
    assert!(after.windows(2).all(|two| two[1].0 - two[0].0 == 1_000));
    assert!(after.len() > 900, "{} after the first instant", after.len());
}

#[test]
fn fewer_than_500_choices_in_each_instant_take_no_time() {
    // Two choices for each answer; then the timer is all there is, and its time comes.
    let at = asked_at(Some(200));
    let mut instants = at.clone();
    instants.dedup();
    let among = |t: &SimTime| at.iter().filter(|other| *other == t).count();
    assert!(instants.windows(2).all(|two| two[1].0 - two[0].0 == 5_000));
    assert!(instants.len() > 20);
    let whole = &instants[..instants.len() - 1];
    assert!(whole.iter().all(|t| among(t) == 400));
}

/// Steps a run until it has settled, and looks at it before each turn.
fn until_settled(setup: Setup, seed: u64, mut look: impl FnMut(&World<'_>) + Send) {
    let prepared = Prepared::new(setup).expect("a setup");
    let looked = |world: &mut World<'_>| {
        while matches!(world.progress.phase, Phase::Safety | Phase::Liveness) {
            look(world);
            assert!(world.turn(), "it settles");
        }
        look(world);
    };
    prepared.direct(&Input::Seed(seed), RunOptions::default(), looked);
}

#[test]
fn a_run_settles_a_window_after_the_last_thing_that_was_late() {
    let ticking = operator(|cx: OperatorContext| async move {
        while !cx.name.is_empty() {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    });
    let mut setup = watching();
    setup.operators.push(OperatorSetup {
        name: "ticking".to_owned(),
        run: ticking,
        ..setup.operators[0].clone()
    });
    setup.mode = Mode::Controlled;
    // They may strike for 30 s, and until then time passes as it likes.
    setup.faults = FaultPlan {
        at_most: 1,
        from: vec![Fault::LoseReply {
            on: RequestFilter::default(),
        }],
    };
    let window_us = us(setup.settle.window);
    let mut late_in_time = 0;
    for seed in 0..20 {
        let (mut late, mut in_time) = (SimTime::ZERO, false);
        until_settled(setup.clone(), seed, |world| {
            let now = entropy::now();
            let due = world.agenda.first().map_or(now, |(at, _)| at.min(now));
            if now.0 - due.0 > 1_000_000 {
                late = now;
                late_in_time += usize::from(world.progress.faults_on());
            }
            // What is overdue when the faults end is done; from then on nothing is.
            assert!(!in_time || due == now, "seed {seed}: late at {now}");
            in_time |= !world.progress.faults_on() && due == now;
            if let Some(settled) = world.progress.settled {
                assert!(settled.0 >= late.0 + window_us, "seed {seed}");
            }
        });
        assert!(in_time);
    }
    assert!(late_in_time > 0, "no run of these was late");
}
