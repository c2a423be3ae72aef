//! A process of its own for a piece of work: forked, watched, and its bytes read back.
//!
//! Owns fork, pipe and kill, and memory that both sides see. A fork copies the calling thread alone, so it is refused where other threads could hold a
//! lock: [`may_fork`].
#![expect(
    unsafe_code,
    reason = "fork and wait are system calls of the C library"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

/// Bytes that a process and those forked from it share.
pub(crate) struct Page {
    start: NonNull<AtomicU8>,
    length: usize,
}

// SAFETY: the memory is the page's own until it is dropped, and atomics may be used from any thread.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Zeroed memory; none if there is none to be had.
    pub(crate) fn new(length: usize) -> Option<Page> {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: asks for new memory at a place of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let start = NonNull::new(start.cast())?;
        Some(Page { start, length })
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: that many bytes were mapped, zeroed, and stay until the page is dropped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// How a forked process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It handed these bytes back.
    Finished(Vec<u8>),
    /// A signal killed it: 6 for an abort.
    Signalled(i32),
    /// It exited by itself without handing anything back.
    Exited(i32),
    /// It did not end in time and was killed.
    Stuck,
}

/// A forked process at work.
pub(crate) struct Forked {
    pid: libc::pid_t,
    pipe: File,
    bytes: Vec<u8>,
    left_ms: i64,
}

/// Whether no other thread of this process is at work. One that sleeps is allowed: libtest's main thread waits while a
/// single test runs; it may take a moment to get there, and so many milliseconds are given to it.
pub(crate) fn may_fork(moments: u32) -> bool {
    (0..moments).any(|moment| {
        if moment > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        !others_at_work()
    })
}

/// Whether another thread of this process may be at work.
fn others_at_work() -> bool {
    let Some(others) = others() else { return true };
    match others.as_slice() {
        [] => false,
        // Only while it sleeps is the list the whole truth: libtest's main thread starts the next test and sleeps again as
        // soon as one has ended. So it must have slept from before a listing until after it.
        [other] => {
            let slept = sleep_of(other);
            slept.is_none() || self::others().as_ref() != Some(&others) || sleep_of(other) != slept
        }
        _ => true,
    }
}

/// The other threads of this process; none if they cannot be told.
fn others() -> Option<Vec<PathBuf>> {
    // SAFETY: the call has no arguments and cannot fail.
    let own = unsafe { libc::syscall(libc::SYS_gettid) }.to_string();
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let others = tasks.flatten().filter(|task| task.file_name() != *own);
    Some(others.map(|task| task.path()).collect())
}

/// How often a thread has given up the processor, if it sleeps: as long as it sleeps on, this stays.
fn sleep_of(task: &Path) -> Option<String> {
    let status = std::fs::read_to_string(task.join("status")).ok()?;
    let told = |line: &&str| line.starts_with("State:") || line.contains("ctxt_switches:");
    let told: Vec<&str> = status.lines().filter(told).collect();
    told.first()?.contains("S (").then(|| told.join(" "))
}

/// Forks; the child does `work` and hands back its bytes.
pub(crate) fn fork(limit: Duration, work: impl FnOnce() -> Vec<u8>) -> Option<Forked> {
    let mut ends = [0; 2];
    // SAFETY: the array holds two descriptors, as the call wants.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: both descriptors have just been opened and belong to nobody else.
    let (read, mut write) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    // SAFETY: no other thread is at work (see `may_fork`); the child only computes, writes and exits.
    match unsafe { libc::fork() } {
        -1 => None,
        0 => {
            // A child that is stuck does not outlive the one who would kill it.
            #[cfg(target_os = "linux")]
            // SAFETY: asks for a signal to this process only.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
            };
            drop(read);
            let work = std::panic::AssertUnwindSafe(work);
            let status = match std::panic::catch_unwind(work) {
                Ok(bytes) => i32::from(write.write_all(&bytes).is_err()),
                Err(_) => 101,
            };
            drop(write);
            // SAFETY: ends the child without running what the parent registered for its own exit.
            unsafe { libc::_exit(status) }
        }
        pid => {
            let left_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
            Some(Forked {
                pid,
                pipe: read,
                bytes: Vec::new(),
                left_ms,
            })
        }
    }
}

/// Waits until one of them has ended, takes it out and returns its place and outcome.
pub(crate) fn wait_any(children: &mut Vec<Forked>) -> Option<(usize, Outcome)> {
    const SLICE_MS: i64 = 20;
    while !children.is_empty() {
        let mut polled: Vec<libc::pollfd> = children
            .iter()
            .map(|child| libc::pollfd {
                fd: child.pipe.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        // SAFETY: the vector holds that many entries.
        let ready = unsafe {
            libc::poll(
                polled.as_mut_ptr(),
                polled.len() as libc::nfds_t,
                SLICE_MS as i32,
            )
        };
        for (at, poll) in polled.iter().enumerate() {
            let child = &mut children[at];
            if poll.revents != 0 {
                let mut buffer = [0; 65_536];
                match child.pipe.read(&mut buffer) {
                    Ok(0) | Err(_) => return Some((at, children.remove(at).reap(false))),
                    Ok(length) => child.bytes.extend_from_slice(&buffer[..length]),
                }
            } else if ready == 0 {
                child.left_ms -= SLICE_MS;
                if child.left_ms <= 0 {
                    return Some((at, children.remove(at).reap(true)));
                }
            }
        }
    }
    None
}

impl Forked {
    fn reap(self, stuck: bool) -> Outcome {
        let mut status = 0;
        // SAFETY: the process is a child of this one that has not been waited for.
        unsafe {
            if stuck {
                libc::kill(self.pid, libc::SIGKILL);
            }
            libc::waitpid(self.pid, &raw mut status, 0);
        }
        if stuck {
            Outcome::Stuck
        } else if libc::WIFSIGNALED(status) {
            Outcome::Signalled(libc::WTERMSIG(status))
        } else if libc::WEXITSTATUS(status) != 0 {
            Outcome::Exited(libc::WEXITSTATUS(status))
        } else {
            Outcome::Finished(self.bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    use super::*;

    #[test]
    fn a_child_hands_back_its_bytes_and_its_death() {
        // The children compute nothing that needs a lock, so other tests may be at work. Only the last waits for its limit.
        let limit = Duration::from_secs(10);
        let mut children: Vec<Forked> = Vec::new();
        children.extend(fork(limit, || b"done".to_vec()));
        assert_eq!(
            wait_any(&mut children),
            Some((0, Outcome::Finished(b"done".to_vec())))
        );
        children.extend(fork(limit, || {
            // Nothing is to be dumped: that takes time, and leaves a file.
            let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
            std::process::abort()
        }));
        assert_eq!(wait_any(&mut children), Some((0, Outcome::Signalled(6))));
        children.extend(fork(Duration::from_millis(200), || {
            loop {
                std::hint::spin_loop();
            }
        }));
        assert_eq!(wait_any(&mut children), Some((0, Outcome::Stuck)));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread that sleeps, and another that runs, are what is looked at"
    )]
    fn only_a_thread_that_sleeps_on_is_taken_for_one() {
        let (said, hears) = std::sync::mpsc::channel::<()>();
        let (named, name) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let own = std::fs::read_link("/proc/thread-self").expect("a thread has a place");
            let own = Path::new("/proc").join(own);
            named.send((sleep_of(&own), own)).expect("it is awaited");
            let _ = hears.recv();
            let _ = hears.recv();
        });
        let (running, task) = name.recv().expect("the thread lives");
        assert_eq!(running, None);
        let mut asleep = None;
        while asleep.is_none() || asleep != sleep_of(&task) {
            asleep = sleep_of(&task);
        }
        // On one core libtest runs tests on its main thread: then the one that sleeps is all there is.
        let alone = others().is_some_and(|others| others.len() == 1);
        assert_eq!(others_at_work(), !alone);
        said.send(()).expect("it listens");
        let mut again = sleep_of(&task);
        while again.is_none() || again == asleep {
            again = sleep_of(&task);
        }
        drop(said);
        thread.join().expect("it ends");
    }
}
