//! One process of an operator: a tokio runtime that the world steps.
//!
//! Owns the life of one incarnation: start, step to quiescence, graceful stop with a check for leaked tasks, death.
//! Dropping the runtime is the crash: every task it ever spawned is gone. Does not own when any of this happens.
//!
//! Invariant: code of a replica runs inside [`Process::step`] and nowhere else.

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
}

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
        let runtime = build(seed);
        let (stop, shutdown) = Shutdown::channel();
        // The factory is the operator's code too, so it runs in the task: what it panics with ends its main function.
        let main = runtime.spawn(async move { make(shutdown).await });
        Process {
            runtime: Some(runtime),
            main: Some(main),
            stop,
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

fn build(seed: u64) -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    builder
        .build()
        .expect("an epoll descriptor can be had; raise the limit of open files")
}
