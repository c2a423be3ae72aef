//! What one call costs, straight through `ApiServer::handle`: `cargo bench --bench api`.
//!
//! Prints the median over rounds beside its goal. One thread, one process, no sockets. `Instant` is the
//! wall clock here: this is a measurement, not a run.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "measuring needs the wall clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::server::{ApiServer, Config, Cx, Output, RequestId, ServerId};
use http::{Method, Request, Response};

const ROUNDS: usize = 25;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A server whose caches follow at once, and its source of ids.
struct Bench {
    server: ApiServer,
    ids: SeededIds,
    config: Config,
    next: u64,
}

impl Bench {
    fn new() -> Bench {
        let config = Config {
            caches_follow: true,
            ..Config::default()
        };
        Bench {
            server: ApiServer::new(&config),
            ids: SeededIds::new(1),
            config,
            next: 0,
        }
    }

    fn call(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        let mut cx = Cx {
            now: self.config.began,
            ids: &mut self.ids,
        };
        let response = self.server.handle(&mut cx, ServerId(0), request);
        assert!(response.status().is_success(), "{:?}", response.body());
        response
    }

    fn submit(&mut self, request: Request<Bytes>) -> Vec<Output> {
        self.next += 1;
        let mut cx = Cx {
            now: self.config.began,
            ids: &mut self.ids,
        };
        self.server
            .submit(&mut cx, ServerId(0), RequestId(self.next), request)
    }

    fn fill(&mut self, count: usize) {
        for i in 0..count {
            self.call(create(&format!("kept-{i:06}")));
        }
    }
}

fn request(method: Method, path: &str, kind: &str, body: String) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .header("accept", "application/json")
        .header("user-agent", "bench/1")
        .body(Bytes::from(body))
        .expect("the parts are valid")
}

fn create(name: &str) -> Request<Bytes> {
    let body = format!(
        r#"{{"metadata":{{"name":"{name}","labels":{{"app":"demo","tier":"back"}}}},"data":{{"a":"1","b":"two","c":"three hundred"}}}}"#
    );
    request(Method::POST, MAPS, "application/json", body)
}

fn get(path: &str) -> Request<Bytes> {
    request(Method::GET, path, "application/json", String::new())
}

fn patch(name: &str, value: usize) -> Request<Bytes> {
    let body = format!(r#"{{"data":{{"a":"{value}"}}}}"#);
    request(
        Method::PATCH,
        &format!("{MAPS}/{name}"),
        "application/merge-patch+json",
        body,
    )
}

fn apply(name: &str, value: usize) -> Request<Bytes> {
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"x":"{value}","y":"2"}}}}"#
    );
    let path = format!("{MAPS}/{name}?fieldManager=bench");
    request(Method::PATCH, &path, "application/apply-patch+yaml", body)
}

/// The median time of one of `calls` calls.
fn median(calls: usize, mut round: impl FnMut(usize)) -> Duration {
    let mut samples: Vec<Duration> = (0..ROUNDS)
        .map(|i| {
            let started = Instant::now();
            round(i);
            started.elapsed() / calls as u32
        })
        .collect();
    samples.sort_unstable();
    samples[ROUNDS / 2]
}

fn row(what: &str, spent: Duration, goal: &str) {
    println!(
        "{what:<44} {:>10.2} µs   goal {goal}",
        spent.as_nanos() as f64 / 1e3
    );
}

fn main() {
    let mut bench = Bench::new();
    bench.fill(1_000);
    let names: Vec<String> = (0..1_000).map(|i| format!("kept-{i:06}")).collect();

    let spent = median(1_000, |_| {
        for name in &names {
            black_box(bench.call(get(&format!("{MAPS}/{name}"))));
        }
    });
    row("get", spent, "2 µs");

    let mut serial = 0;
    let spent = median(200, |_| {
        for _ in 0..200 {
            serial += 1;
            bench.call(create(&format!("new-{serial}")));
        }
    });
    row("create", spent, "8 µs");

    let spent = median(200, |i| {
        for name in &names[..200] {
            bench.call(patch(name, i));
        }
    });
    row("merge patch", spent, "8 µs");

    let spent = median(200, |i| {
        for name in &names[200..400] {
            bench.call(apply(name, i));
        }
    });
    row("apply", spent, "25 µs");

    let mut bench = Bench::new();
    bench.fill(1_000);
    let spent = median(20, |_| {
        for _ in 0..20 {
            black_box(bench.call(get(MAPS)));
        }
    });
    row("list of 1,000", spent, "300 µs");

    const WATCHERS: usize = 1_000;
    let mut alone = Bench::new();
    alone.fill(1);
    let unwatched = median(50, |i| {
        for n in 0..50 {
            alone.submit(patch("kept-000000", i * 50 + n));
        }
    });
    let mut bench = Bench::new();
    bench.fill(1);
    for _ in 0..WATCHERS {
        bench.submit(get(&format!("{MAPS}?watch=1&resourceVersion=0")));
    }
    let watched = median(50, |i| {
        for n in 0..50 {
            let outputs = bench.submit(patch("kept-000000", i * 50 + n));
            assert!(outputs.len() > WATCHERS, "every watcher is told");
        }
    });
    let spent = watched.saturating_sub(unwatched) / WATCHERS as u32;
    row("fan-out, per watcher and event", spent, "1 µs");

    let spent = median(1_000, |_| {
        for _ in 0..1_000 {
            black_box(ApiServer::new(&Config::default()));
        }
    });
    row("a new server", spent, "50 µs");
}
