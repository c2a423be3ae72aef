//! What many objects and watchers cost: `cargo bench -p fake-apiserver --bench memory`.
//!
//! Each size is measured in a process of its own, so that memory freed by one is not taken for free by the next. The goal:
//! 100,000 objects and 10,000 watchers in 1.5 GiB, and every column growing with the size or not at all. With `--check` the
//! program fails where that is not so.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::process::Command;

use bytes::Bytes;
use fake_apiserver::ids::SeededIds;
use fake_apiserver::server::{ApiServer, Config, Cx, Output, RequestId, ServerId};
use http::Request;

const OBJECTS: [usize; 4] = [12_500, 25_000, 50_000, 100_000];
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// The goal for the largest size.
const MIB_MAX: f64 = 1_536.0;
/// How much dearer an object may be in the largest size than in the smallest.
const GROWTH_MAX: f64 = 1.5;

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

    fn submit(&mut self, method: &str, target: &str, kind: &str, body: String) -> Vec<Output> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", kind)
            .header("user-agent", "bench/1")
            .body(Bytes::from(body))
            .expect("the parts are valid");
        self.next += 1;
        let mut cx = Cx {
            now: self.config.began,
            ids: &mut self.ids,
        };
        self.server
            .submit(&mut cx, ServerId(0), RequestId(self.next), request)
    }
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0.0) * 4096.0 / 1_048_576.0
}

/// Nanoseconds that this thread has spent on a processor: neighbours on the machine do not count.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.unwrap_or(0.0)
}

/// Runs something and returns microseconds for each of `count`.
fn timed(count: usize, run: impl FnOnce()) -> f64 {
    let before = spent();
    run();
    (spent() - before) / 1e3 / count as f64
}

/// MiB of objects, MiB of watchers, and microseconds: a creation, an opening, an event for one watcher, a deadline, an end.
fn measure(objects: usize) -> [f64; 7] {
    let mut bench = Bench::new();
    let watchers = objects / 10;
    bench.submit("GET", MAPS, "", String::new());
    let start = resident();
    let create = timed(objects, || {
        for i in 0..objects {
            let body = format!(
                r#"{{"metadata":{{"name":"kept-{i:06}","labels":{{"app":"demo","tier":"back"}}}},"data":{{"a":"1","b":"two","c":"three hundred"}}}}"#
            );
            bench.submit("POST", MAPS, "application/json", body);
        }
    });
    let filled = resident();
    let revision = bench.server.store().revision();
    let first = bench.next + 1;
    let open = timed(watchers, || {
        for _ in 0..watchers {
            let target = format!("{MAPS}?watch=1&resourceVersion={revision}&allowWatchBookmarks=1");
            bench.submit("GET", &target, "", String::new());
        }
    });
    let watched = resident();
    const EVENTS: usize = 200;
    let event = timed(EVENTS * watchers, || {
        for i in 0..EVENTS {
            let body = format!(r#"{{"data":{{"a":"{i}!"}}}}"#);
            let kind = "application/merge-patch+json";
            let outputs = bench.submit("PATCH", &format!("{MAPS}/kept-000000"), kind, body);
            assert_eq!(outputs.len(), watchers + 1, "every watcher is told");
        }
    });
    let deadline = timed(watchers, || {
        for _ in 0..watchers {
            assert!(bench.server.next_deadline().is_some());
        }
    });
    let close = timed(watchers, || {
        for id in first..first + watchers as u64 {
            bench.server.cancel(RequestId(id));
        }
    });
    [
        filled - start,
        watched - filled,
        create,
        open,
        event,
        deadline,
        close,
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, size] = arguments.as_slice()
        && flag == "--size"
    {
        let row = measure(size.parse().expect("a number of objects"));
        println!("{}", row.map(|cell| cell.to_string()).join(" "));
        return;
    }
    println!(
        "{:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "objects",
        "watchers",
        "MiB",
        "B/object",
        "B/watcher",
        "create",
        "open",
        "event",
        "deadline",
        "close"
    );
    let rows: Vec<[f64; 7]> = OBJECTS.iter().map(|objects| row(*objects)).collect();
    println!("processor time in µs each; goal: {MIB_MAX} MiB in the last row");
    if arguments.iter().any(|argument| argument == "--check") {
        check(&rows);
    }
}

fn row(objects: usize) -> [f64; 7] {
    let own = std::env::current_exe().expect("this program has a path");
    let output = Command::new(own)
        .args(["--size", &objects.to_string()])
        .output()
        .expect("this program can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cells: Vec<f64> = text
        .split_whitespace()
        .filter_map(|cell| cell.parse().ok())
        .collect();
    let row: [f64; 7] = cells.try_into().expect("seven figures");
    let watchers = objects / 10;
    let bytes = |mib: f64, count: usize| mib * 1_048_576.0 / count as f64;
    println!(
        "{objects:>8} {watchers:>8} {:>9.0} {:>9.0} {:>9.0} {:>9.2} {:>9.2} {:>9.3} {:>9.3} {:>9.3}",
        row[0] + row[1],
        bytes(row[0], objects),
        bytes(row[1], watchers),
        row[2],
        row[3],
        row[4],
        row[5],
        row[6]
    );
    row
}

fn check(rows: &[[f64; 7]]) {
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    assert!(last[0] + last[1] <= MIB_MAX, "over the goal");
    let times = OBJECTS[rows.len() - 1] as f64 / OBJECTS[0] as f64;
    let growth = (last[0] + last[1]) / (first[0] + first[1]);
    assert!(
        growth <= times * GROWTH_MAX,
        "{times} times the objects take {growth:.1} times the memory"
    );
}
