//! `converges`: with faults off and the workload done the world settles within the bound, and nobody spins meanwhile.
//!
//! Who spins repeats itself: of the requests of the last window those count that had been made in it before. A finding
//! names the one that was made most often, with its last two times.
//!
//! Does not see: a loop that is slower than ten requests per second and changes nothing; one that asks for something else
//! each time; a run with a fixed end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::{About, Property, Report, View};
use crate::event::{Event, Phase, ReplicaId, StepId};
use crate::time::{SimTime, us};
use crate::trace::Record;

/// Repeated requests per second of one world, over the whole window, that make a hot loop.
const RATE_MAX: u64 = 10;

#[derive(Default)]
pub(super) struct Converges {
    requests: VecDeque<(SimTime, StepId)>,
}

impl Property for Converges {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        match &record.event {
            Event::RequestSent { call, .. }
                if call.verb != "watch" && call.resource != "leases" =>
            {
                self.requests.push_back((record.at, record.step));
            }
            Event::PhaseBegan {
                phase: Phase::Settled,
            } => {
                let seconds = window_us(view) / 1_000_000;
                self.forget_before(record.at, view);
                if self.requests.len() as u64 <= RATE_MAX * seconds {
                    return;
                }
                let made = self.by_call(view);
                let repeated = (self.requests.len() - made.len()) as u64;
                if repeated > RATE_MAX * seconds {
                    let message = format!(
                        "a hot loop: {} requests in the {seconds} s in which nothing changed{}",
                        self.requests.len(),
                        most(&made, view),
                    );
                    report.find(message, about(&made));
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, view: &View<'_>, report: &mut Report) {
        if let Some(why) = report.unsettled.clone() {
            self.forget_before(view.now, view);
            let made = self.by_call(view);
            let most = most(&made, view);
            let message = format!("the world did not settle: {why}{most}");
            report.find(message, about(&made));
        }
    }
}

fn window_us(view: &View<'_>) -> u64 {
    us(view.setup.settle.window).max(1_000_000)
}

/// Requests that say the same, and when they were sent.
type Made = BTreeMap<(ReplicaId, String), Vec<StepId>>;

impl Converges {
    fn forget_before(&mut self, now: SimTime, view: &View<'_>) {
        let from = SimTime(now.0.saturating_sub(window_us(view)));
        while self.requests.front().is_some_and(|(at, _)| *at < from) {
            self.requests.pop_front();
        }
    }

    fn by_call(&self, view: &View<'_>) -> Made {
        let mut made = Made::new();
        for (_, step) in &self.requests {
            let event = view.trace.record(*step).map(|record| &record.event);
            if let Some(Event::RequestSent { replica, call, .. }) = event {
                let said = made.entry((*replica, call.to_string())).or_default();
                said.push(*step);
            }
        }
        made
    }
}

/// The request that was made most often; none if each was made once.
fn most_often(made: &Made) -> Option<(&(ReplicaId, String), &Vec<StepId>)> {
    let repeated = made.iter().filter(|(_, steps)| steps.len() > 1);
    repeated.max_by_key(|(_, steps)| steps.len())
}

fn most(made: &Made, view: &View<'_>) -> String {
    let Some(((replica, call), steps)) = most_often(made) else {
        return String::new();
    };
    let name = view.name_of(*replica);
    format!("; {name} asked {} times: {call}", steps.len())
}

fn about(made: &Made) -> About {
    let Some(((replica, _), steps)) = most_often(made) else {
        return About::default();
    };
    About {
        replica: Some(*replica),
        because: steps[steps.len() - 2..].to_vec(),
        ..About::default()
    }
}
