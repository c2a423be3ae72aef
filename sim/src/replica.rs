//! One process of an operator: a tokio runtime that the world steps.
//!
//! Owns the life of one incarnation: start, step to quiescence, graceful stop with a check for leaked tasks, death.
//! Dropping the runtime is the crash: every task it ever spawned is gone. Does not own when any of this happens.
//!
//! Where tokio's unstable hooks are there, it knows where each task was spawned; the path of a dependency is cut to the crate.
//!
//! Invariant: code of a replica runs inside [`Process::step`] and nowhere else.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::entropy::{self, Stepped, UntilIdle};
use crate::operator::{OperatorFuture, OperatorResult, Shutdown};

/// A running incarnation of a replica.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    main: Option<JoinHandle<OperatorResult>>,
    stop: watch::Sender<bool>,
    sites: Sites,
}

/// Where the tasks that are there were spawned, and how many at each place. Empty without tokio's unstable hooks.
#[derive(Clone, Default)]
struct Sites(Arc<Mutex<BTreeMap<&'static Location<'static>, u32>>>);

/// How a main function came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It returned.
    Returned(OperatorResult),
    /// It panicked; the panic itself has been noted by [`crate::panics`].
    Panicked,
}

impl Process {
    /// Builds the runtime, with the hooks already on since it reads its epoch now, and spawns what `make` returns.
    /// Nothing of it runs before the first step.
    pub(crate) fn start(
        seed: u64,
        make: impl FnOnce(Shutdown) -> OperatorFuture + Send + 'static,
    ) -> Process {
        assert!(
            entropy::is_active(),
            "a replica lives on a simulated thread"
        );
        let sites = Sites::default();
        let runtime = build(seed, &sites);
        let (stop, shutdown) = Shutdown::channel();
        // The factory is the operator's code too, so it runs in the task: what it panics with ends its main function.
        let main = runtime.spawn(async move { make(shutdown).await });
        Process {
            runtime: Some(runtime),
            main: Some(main),
            stop,
            sites,
        }
    }

    /// Hands in what `deliver` delivers, then runs until nothing is runnable.
    pub(crate) fn step(&mut self, skew_us: i64, deliver: impl FnOnce()) -> Stepped {
        let Some(runtime) = &self.runtime else {
            return Stepped::default();
        };
        entropy::step(skew_us, || {
            runtime.block_on(async {
                deliver();
                UntilIdle.await;
            });
        })
    }

    /// How the main function ended, once, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        if !self.main.as_ref()?.is_finished() {
            return None;
        }
        match self.main.take()?.now_or_never()? {
            Ok(result) => Some(Ended::Returned(result)),
            Err(_) => Some(Ended::Panicked),
        }
    }

    /// Tells the operator to stop, as SIGTERM does; call within a step.
    pub(crate) fn request_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Tasks that are still there.
    pub(crate) fn alive_tasks(&self) -> usize {
        self.runtime
            .as_ref()
            .map_or(0, |runtime| runtime.metrics().num_alive_tasks())
    }

    /// Where they were spawned, in order: `src/widget.rs:12:5`, `kube-runtime-5.0.0/src/watcher.rs:7:1 (3 tasks)`.
    pub(crate) fn spawn_sites(&self) -> Vec<String> {
        let sites = self.sites.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = sites.iter().map(|(site, tasks)| {
            let file = site.file();
            let file = match file.split_once("/registry/src/") {
                Some((_, within)) => within.split_once('/').map_or(within, |(_, path)| path),
                None => file,
            };
            let place = format!("{file}:{}:{}", site.line(), site.column());
            match tasks {
                1 => place,
                tasks => format!("{place} ({tasks} tasks)"),
            }
        });
        said.collect()
    }
}

#[cfg(tokio_unstable)]
impl Sites {
    fn spawned(&self, at: &'static Location<'static>) {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sites.entry(at).or_default() += 1;
    }

    fn over(&self, at: &'static Location<'static>) {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = sites.get_mut(at) {
            *tasks -= 1;
            if *tasks == 0 {
                sites.remove(at);
            }
        }
    }
}

/// The process is gone, with all its tasks. What their destructors try has no effect outside.
impl Drop for Process {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        self.main = None;
        entropy::step(0, || {
            entropy::mark_exited();
            // A destructor that panics must not take the run with it; its process is dead.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.shutdown_background()
            }));
        });
    }
}

fn build(seed: u64, sites: &Sites) -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    #[cfg(tokio_unstable)]
    {
        builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
        let (spawned, over) = (sites.clone(), sites.clone());
        builder.on_task_spawn(move |task| spawned.spawned(task.spawned_at()));
        builder.on_task_terminate(move |task| over.over(task.spawned_at()));
    }
    #[cfg(not(tokio_unstable))]
    let _ = (seed, sites);
    builder
        .build()
        .expect("an epoll descriptor can be had; raise the limit of open files")
}
