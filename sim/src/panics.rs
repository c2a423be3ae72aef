//! Panics of operators: noted with place and backtrace instead of printed.
//!
//! Owns the process-wide panic hook. A panic while a replica is stepped becomes a note for the world; any other goes to
//! the hook that was there before.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::entropy;

/// A panic inside an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PanicNote {
    pub(crate) message: String,
    /// `file:line:column`.
    pub(crate) location: String,
    /// Where backtraces were asked for.
    pub(crate) backtrace: Option<String>,
}

thread_local! {
    static NOTES: RefCell<Vec<PanicNote>> = const { RefCell::new(Vec::new()) };
    static BACKTRACES: Cell<bool> = const { Cell::new(false) };
}

/// Puts the hook in place, once per process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if entropy::is_active() && entropy::is_stepping() {
                note(info);
            } else {
                before(info);
            }
        }));
    });
}

/// Whether notes of this thread carry backtraces: resolving one costs more than a run.
pub(crate) fn capture_backtraces(on: bool) {
    BACKTRACES.with(|cell| cell.set(on));
}

/// The panics noted on this thread since the last call.
pub(crate) fn take() -> Vec<PanicNote> {
    NOTES.with(|notes| std::mem::take(&mut *notes.borrow_mut()))
}

fn note(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic whose payload is not text".to_owned());
    let location = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    let backtrace = BACKTRACES
        .with(Cell::get)
        .then(|| Backtrace::force_capture().to_string());
    NOTES.with(|notes| {
        notes.borrow_mut().push(PanicNote {
            message,
            location,
            backtrace,
        })
    });
}
