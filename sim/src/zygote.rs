//! Isolation `fork` from within libtest: the test binary is run again with this test alone.
//!
//! libtest runs tests on threads, and a process with threads at work cannot be forked safely. So the exploration moves
//! to a child of this binary that runs this one test, by its exact name: there libtest's main thread sleeps while the test
//! runs, forks are safe, and the result comes back in a file. The child ends as soon as it has been written.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::explore::{Exploration, ExploreError};

/// Where the child writes, and which of the test's explorations is meant.
const RESULT: &str = "RECONVERGE_ZYGOTE_RESULT";
const CALL: &str = "RECONVERGE_ZYGOTE_CALL";

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the explorations of this test; the parent and the child count alike.
pub(crate) fn next_call() -> u32 {
    CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        calls.get()
    })
}

/// In the child: the file that this exploration's result is awaited in.
pub(crate) fn awaited(call: u32) -> Option<PathBuf> {
    let asked: u32 = std::env::var(CALL).ok()?.parse().ok()?;
    (asked == call).then(|| std::env::var_os(RESULT).map(PathBuf::from))?
}

/// In the child: hands the result back and ends.
pub(crate) fn hand_back(exploration: &Exploration, to: &std::path::Path) -> ! {
    let written = serde_json::to_vec(exploration).map(|bytes| std::fs::write(to, bytes));
    std::process::exit(i32::from(!matches!(written, Ok(Ok(())))))
}

/// In the parent: makes the exploration in a child.
pub(crate) fn explore_elsewhere(call: u32) -> Result<Exploration, ExploreError> {
    let thread = std::thread::current();
    // libtest names a test's thread after the test. In a child, going further down would never end.
    let test = thread
        .name()
        .filter(|name| *name != "main" && std::env::var_os(CALL).is_none());
    let test = test.ok_or(ExploreError::Threads)?;
    let failed = |why: String| ExploreError::Zygote {
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
    serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
}
