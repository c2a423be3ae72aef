//! `converges`: with faults off and the workload done the world settles within the bound, and nobody spins meanwhile.
//!
//! Does not see: a loop that is slower than ten requests per second and changes nothing; a run with a fixed end.

use std::collections::VecDeque;
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, Report, View};
use crate::event::{Event, Phase};
use crate::time::{SimTime, us};
use crate::trace::Record;

/// Requests per second of one world, over the whole window, that make a hot loop.
const RATE_MAX: u64 = 10;

#[derive(Default)]
pub(super) struct Converges {
    requests: VecDeque<SimTime>,
}

impl Property for Converges {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        let window_us = us(view.setup.settle.window).max(1_000_000);
        match &record.event {
            Event::RequestSent { call, .. }
                if call.verb != "watch" && call.resource != "leases" =>
            {
                self.requests.push_back(record.at);
            }
            Event::PhaseBegan {
                phase: Phase::Settled,
            } => {
                let from = SimTime(record.at.0.saturating_sub(window_us));
                let recent = self.requests.iter().filter(|at| **at >= from).count() as u64;
                if recent > RATE_MAX * window_us / 1_000_000 {
                    let message = format!(
                        "a hot loop: {recent} requests in the {} s in which nothing changed",
                        window_us / 1_000_000
                    );
                    report.find(message, About::default());
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, _: &View<'_>, report: &mut Report) {
        if let Some(why) = report.unsettled.clone() {
            report.find(format!("the world did not settle: {why}"), About::default());
        }
    }
}
