//! Measures the engine: cost of an API call, runs per second, virtual seconds per second, cost of starting a run; all in
//! processor time of one core, so that a busy machine tells little else than a quiet one.
//!
//! `cargo bench -p reconverge-sim`; one run at a time. The figures go into the README with machine and command.
//! This is what a test binary gets, with the system's allocator; `engine_mimalloc` is what the command line gets.
#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use reconverge_sim::event::Event;
use reconverge_sim::operator::operator;
use reconverge_sim::run::{Prepared, RunOptions};
use reconverge_sim::schedule::Input;
use reconverge_sim::setup::{Mode, OperatorSetup, Until};
use reconverge_sim::trace::Record;
use reconverge_sim::{Setup, SimTime};
use serde_json::json;

fn map(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

/// Each replica signs each object: one get and one patch.
async fn sign(client: Client, identity: String) {
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    Controller::new(api.clone(), watcher::Config::default())
        .run(
            move |map, api: Arc<Api<ConfigMap>>| {
                let identity = identity.clone();
                async move {
                    let name = map.metadata.name.clone().unwrap_or_default();
                    let live = api.get(&name).await?;
                    if live
                        .data
                        .as_ref()
                        .is_none_or(|data| !data.contains_key(&identity))
                    {
                        let patch = Patch::Merge(json!({"data": {identity: "yes"}}));
                        api.patch(&name, &PatchParams::default(), &patch).await?;
                    }
                    Ok(Action::requeue(Duration::from_secs(30)))
                }
            },
            |_, _: &kube::Error, _| Action::requeue(Duration::from_secs(1)),
            Arc::new(api),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

fn prepared(objects: u32, replicas: u32, until: Until) -> Prepared {
    let signer = OperatorSetup {
        name: "signer".to_owned(),
        replicas,
        namespace: "default".to_owned(),
        run: operator(|cx| sign(cx.client, cx.identity)),
    };
    let setup = Setup {
        objects: (0..objects).map(|n| map(&format!("map-{n}"))).collect(),
        operators: vec![signer],
        mode: Mode::Timed,
        until,
        ..Setup::default()
    };
    Prepared::new(setup).expect("the server takes the objects")
}

/// Processor time of this process so far, in seconds: what else the machine does meanwhile does not count.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let (_, after_name) = stat.rsplit_once(") ").expect("the name is in brackets");
    // In user mode and in the kernel, in hundredths of a second.
    let ticks = after_name.split(' ').skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// How many seconds of processor time that takes.
fn cost_s(work: impl FnOnce()) -> f64 {
    let start = processor_s();
    work();
    processor_s() - start
}

pub(crate) fn main() {
    for (name, objects, replicas, runs) in [
        ("small", 1, 2, 2_000),
        ("medium", 3, 3, 600),
        ("large", 100, 2, 50),
    ] {
        let prepared = prepared(objects, replicas, Until::Time(SimTime(20_000_000)));
        prepared.run(&Input::Seed(1), RunOptions::default());
        let mut calls = 0;
        let took = cost_s(|| {
            for seed in 0..runs {
                let run = prepared.run(&Input::Seed(seed), RunOptions::default());
                let sent = |record: &&Record| matches!(record.event, Event::RequestSent { .. });
                calls += run.trace.records.iter().filter(sent).count() as u64;
            }
        });
        println!(
            "{name}: {:.0} runs/s, {} calls each, {:.1} µs per call and what it causes",
            runs as f64 / took,
            calls / runs,
            took * 1e6 / calls as f64
        );
    }
    let idle = prepared(1, 2, Until::Time(SimTime(20_000_000_000)));
    let took = cost_s(|| {
        for seed in 0..25 {
            idle.run(&Input::Seed(seed), RunOptions::default());
        }
    });
    println!(
        "idle with requeues of 30 s: {:.0} virtual s per s",
        25.0 * 20_000.0 / took
    );
    let empty = Prepared::new(Setup::default()).expect("an empty cluster");
    let took = cost_s(|| {
        for seed in 0..10_000 {
            empty.run(&Input::Seed(seed), RunOptions::default());
        }
    });
    println!("an empty run: {:.1} µs", took * 1e6 / 10_000.0);
}
