//! `no-panic`: no code of an operator panics. Always on.
//!
//! Does not see: panics on threads that the operator started itself.

use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, Report, View};
use crate::event::Event;
use crate::trace::Record;

#[derive(Default)]
pub(super) struct NoPanic;

impl Property for NoPanic {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], _: &View<'_>, report: &mut Report) {
        if let Event::Panicked {
            replica,
            message,
            location,
        } = &record.event
        {
            let detail = report.backtrace.take();
            let about = About {
                replica: Some(*replica),
                detail,
                ..About::default()
            };
            report.find(format!("panicked at {location}: {message}"), about);
        }
    }
}
