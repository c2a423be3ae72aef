//! Ctrl-C in a long command: the first ends exploring and lets what is known be told, the second ends the program.
//!
//! Owns the two meanings of SIGINT and its exit code. No thread waits for the signal: isolation `fork` wants a process
//! without other threads. Runs that were under way are not counted, because an operator may have heard the signal too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// The exit code after Ctrl-C, as shells have it: 128 and the number of the signal.
pub(super) const CODE: u8 = 130;

/// Whether Ctrl-C was pressed.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    pub(super) fn listen() -> Interrupt {
        let seen = Arc::new(AtomicBool::new(false));
        // In this order: the first signal finds the flag down and raises it, the second finds it up. Where signals
        // cannot be listened to, Ctrl-C ends the program as it always does.
        let _ = flag::register_conditional_shutdown(SIGINT, i32::from(CODE), seen.clone());
        let _ = flag::register(SIGINT, seen.clone());
        Interrupt(seen)
    }

    /// True from the first Ctrl-C on.
    pub(super) fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
