//! The fake API server beside the crate `kube-fake-client`, each through a `kube::Client` of its own.
//!
//! Run with `cargo run --release --manifest-path benches/peers/Cargo.toml`. Both sides hold the same
//! hundred ConfigMaps and answer the same calls in turn, in one process, so that the ratio is fair
//! even where the machine is not quiet. Rounds are short and many, and the quickest of each side is printed: what else
//! the machine does makes a round slower, never quicker.
//!
//! Arguments name the calls to measure, none stands for all.
//!
//! Not measured here: watches (the peer has none) and anything that only one side does.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fake_apiserver::{
    ids::SeededIds,
    server::{ApiServer, Config, Cx, ServerId},
};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
    client::Body,
};
use kube_fake_client::ClientBuilder;
use serde_json::json;

const OBJECTS: usize = 100;
const ROUNDS: usize = 100;
const CALLS: usize = 100;

/// A client whose requests are answered by a state machine behind a mutex.
fn reconverge_client() -> Client {
    let config = Config { caches_follow: true, ..Config::default() };
    let now = config.began;
    let server = Arc::new(Mutex::new((ApiServer::new(&config), SeededIds::new(1))));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let server = server.clone();
        async move {
            let (head, body) = request.into_parts();
            let body: Bytes = body.collect().await?.to_bytes();
            let mut guard = server.lock().expect("no call panics");
            let (server, ids) = &mut *guard;
            let mut cx = Cx { now, ids };
            let response = server.handle(&mut cx, ServerId(0), http::Request::from_parts(head, body));
            Ok::<_, kube::Error>(response.map(Full::new))
        }
    });
    Client::new(service, "default")
}

fn object(name: &str) -> ConfigMap {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "demo", "tier": "back"}},
        "data": {"a": "1", "b": "two", "c": "three hundred"},
    }))
    .expect("a ConfigMap")
}

async fn fill(maps: &Api<ConfigMap>) -> anyhow::Result<()> {
    for i in 0..OBJECTS {
        maps.create(&PostParams::default(), &object(&format!("kept-{i}"))).await?;
    }
    Ok(())
}

/// One round of one operation: the mean time of a call.
async fn round(maps: &Api<ConfigMap>, what: &str, round: usize) -> anyhow::Result<Duration> {
    let calls = if what == "list" { CALLS / 10 } else { CALLS };
    let started = Instant::now();
    for i in 0..calls {
        let kept = format!("kept-{}", i % OBJECTS);
        match what {
            "create" => {
                let name = format!("new-{round}-{i}");
                maps.create(&PostParams::default(), &object(&name)).await?;
            }
            "get" => drop(maps.get(&kept).await?),
            "list" => drop(maps.list(&ListParams::default().labels("kept!=no")).await?),
            "merge-patch" => {
                let patch = Patch::Merge(json!({"data": {"a": format!("{round}-{i}")}}));
                maps.patch(&kept, &PatchParams::default(), &patch).await?;
            }
            other => anyhow::bail!("no operation {other}"),
        }
    }
    let spent = started.elapsed() / calls as u32;
    if what == "create" {
        for i in 0..calls {
            maps.delete(&format!("new-{round}-{i}"), &Default::default()).await?;
        }
    }
    Ok(spent)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let ours = Api::<ConfigMap>::namespaced(reconverge_client(), "default");
    let peer = Api::<ConfigMap>::namespaced(ClientBuilder::new().build().await?, "default");
    fill(&ours).await?;
    fill(&peer).await?;

    println!("{:<12} {:>16} {:>18} {:>8}", "call", "fake-apiserver", "kube-fake-client", "ratio");
    let asked: Vec<String> = std::env::args().skip(1).collect();
    for what in ["create", "get", "list", "merge-patch"] {
        if !asked.is_empty() && !asked.iter().any(|one| one == what) {
            continue;
        }
        let (mut a, mut b) = (Duration::MAX, Duration::MAX);
        for i in 0..ROUNDS {
            a = a.min(round(&ours, what, i).await?);
            b = b.min(round(&peer, what, i).await?);
        }
        println!(
            "{what:<12} {:>13.2} µs {:>15.2} µs {:>7.2}×",
            a.as_nanos() as f64 / 1e3,
            b.as_nanos() as f64 / 1e3,
            b.as_nanos() as f64 / a.as_nanos() as f64,
        );
    }
    Ok(())
}
