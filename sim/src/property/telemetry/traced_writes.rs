//! `traced-writes`: every write of an operator has a trace back to its cause.
//!
//! A write must belong to a reconcile or a webhook call, by its tracing span, and carry a W3C `traceparent`. Leases and
//! Events are left out: nobody asked for them.
//!
//! Does not see: whether the trace named is the right one.

use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::super::{About, Property, Report, View};
use crate::event::Event;
use crate::trace::Record;

#[derive(Default)]
pub(in crate::property) struct TracedWrites;

/// `00-` 32 digits `-` 16 digits `-` 2 digits, ids not zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let id = |part: &str, digits: usize| {
        part.len() == digits
            && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && part.bytes().any(|b| b != b'0')
    };
    matches!(parts.as_slice(), ["00", trace, span, flags] if id(trace, 32) && id(span, 16) && flags.len() == 2)
}

impl Property for TracedWrites {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], _: &View<'_>, report: &mut Report) {
        let Event::RequestSent {
            replica,
            reconcile,
            call,
            webhook,
            traceparent,
            ..
        } = &record.event
        else {
            return;
        };
        if !call.is_write() || matches!(call.resource.as_str(), "leases" | "events") {
            return;
        }
        let message = match traceparent {
            _ if reconcile.is_none() && webhook.is_none() => {
                format!("{call} belongs to no reconcile and no webhook call")
            }
            None => format!("{call} carries no traceparent"),
            Some(text) if !is_traceparent(text) => {
                format!("{call} carries the traceparent {text:?}, which is none")
            }
            Some(_) => return,
        };
        let about = About {
            object: call.key(),
            replica: Some(*replica),
            ..About::default()
        };
        report.find(message, about);
    }
}

#[cfg(test)]
mod tests {
    use super::is_traceparent;

    #[test]
    fn a_traceparent_is_what_the_standard_says() {
        let good = format!("00-{:032x}-{:016x}-01", 7, 9);
        assert!(is_traceparent(&good));
        for bad in [
            String::new(),
            good.replace("00-", "0-"),
            good.replace('7', "G"),
            format!("00-{:032x}-{:016x}-01", 0, 9),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }
}
