//! Isolation `fork` from within libtest: the test binary is run again with this test alone.
//!
//! libtest runs tests on threads, and a process with threads at work cannot be forked safely. So the runs are made
//! in a child of this binary that runs this one test, by its exact name: there libtest's main thread sleeps while the test
//! runs, forks are safe, and the runs come back in a file, one a line. The child ends as soon as it has been written.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::isolation::{IsolationError, Made, unwire, wire};

/// Where the child writes, and which of the test's calls is meant.
const RESULT: &str = "RECONVERGE_ZYGOTE_RESULT";
const CALL: &str = "RECONVERGE_ZYGOTE_CALL";

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the calls of this test; the parent and the child count alike.
pub(crate) fn next_call() -> u32 {
    CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        calls.get()
    })
}

/// How long libtest's main thread may take to fall asleep. The child has nothing to turn to if it does not, and what keeps
/// it awake there can only be a busy machine.
pub(crate) fn patience_ms() -> u32 {
    match std::env::var_os(CALL) {
        Some(_) => 5_000,
        None => 200,
    }
}

/// In the child: the file that this call's runs are awaited in.
pub(crate) fn awaited(call: u32) -> Option<PathBuf> {
    let asked: u32 = std::env::var(CALL).ok()?.parse().ok()?;
    (asked == call).then(|| std::env::var_os(RESULT).map(PathBuf::from))?
}

/// In the child: hands the runs back and ends.
pub(crate) fn hand_back(all: Vec<Made>, to: &std::path::Path) -> ! {
    let mut bytes = Vec::new();
    for made in &all {
        bytes.extend(wire(made));
        bytes.push(b'\n');
    }
    std::process::exit(i32::from(std::fs::write(to, bytes).is_err()))
}

/// In the parent: has the runs made in a child.
pub(crate) fn made_elsewhere(call: u32) -> Result<Vec<Made>, IsolationError> {
    let thread = std::thread::current();
    // libtest names a test's thread after the test. In a child, going further down would never end.
    let test = thread
        .name()
        .filter(|name| *name != "main" && std::env::var_os(CALL).is_none());
    let test = test.ok_or(IsolationError::Threads)?;
    let failed = |why: String| IsolationError::Zygote {
        test: test.to_owned(),
        why,
    };
    let result = std::env::temp_dir().join(format!(
        "reconverge-{}-{call}-{:?}",
        std::process::id(),
        thread.id()
    ));
    let binary = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = Command::new(binary)
        .args([test, "--exact", "--test-threads=1", "--nocapture"])
        .env(RESULT, &result)
        .env(CALL, call.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let bytes = std::fs::read(&result);
    let _ = std::fs::remove_file(&result);
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let bytes = bytes.map_err(|_| failed(said()))?;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let runs: Option<Vec<Made>> = lines.map(unwire).collect();
    runs.filter(|_| output.status.success())
        .ok_or_else(|| failed(said()))
}
