//! A sink of alerts with a rate limit.
//!
//! `POST /alerts` with a `name` in its body is taken (202) and counts; the same idempotency key again is 200 and does not.
//! Above the rate it is 429 with `Retry-After`, and nothing is taken. `GET /alerts` lists what was.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answered, Asked, Service};
use crate::event::EffectKind;
use crate::time::{SimTime, us};

pub(super) struct Alerts {
    rate: Option<(u32, Duration)>,
    /// When the last ones were taken.
    recent: VecDeque<SimTime>,
    keys: BTreeSet<String>,
    taken: Vec<Value>,
}

impl Alerts {
    pub(super) fn new(rate: Option<(u32, Duration)>) -> Alerts {
        Alerts {
            rate,
            recent: VecDeque::new(),
            keys: BTreeSet::new(),
            taken: Vec::new(),
        }
    }

    /// How many microseconds until one more is taken; none if it is taken now.
    fn wait_us(&mut self, now: SimTime) -> Option<u64> {
        let (times, per) = self.rate?;
        while self
            .recent
            .front()
            .is_some_and(|at| at.0 + us(per) <= now.0)
        {
            self.recent.pop_front();
        }
        let full = self.recent.len() >= times as usize;
        let oldest = self.recent.front().copied().unwrap_or(now);
        full.then(|| (oldest.0 + us(per)).saturating_sub(now.0))
    }
}

impl Service for Alerts {
    fn ask(&mut self, asked: Asked<'_>) -> Answered {
        match asked.method.as_str() {
            "GET" => return Answered::new(200, json!({"items": self.taken})),
            "POST" => {}
            _ => return Answered::refused(405, "use POST or GET"),
        }
        let Some(name) = asked.body["name"].as_str().map(str::to_owned) else {
            return Answered::refused(400, "an alert has a name");
        };
        if asked.key.is_some_and(|key| self.keys.contains(key)) {
            return Answered::new(200, json!({"duplicate": true}));
        }
        if let Some(wait_us) = self.wait_us(asked.now) {
            return Answered {
                retry_after_s: Some(wait_us.div_ceil(1_000_000).max(1)),
                ..Answered::refused(429, "too many alerts")
            };
        }
        self.recent.push_back(asked.now);
        self.keys.extend(asked.key.map(str::to_owned));
        self.taken.push(asked.body.clone());
        Answered::new(202, json!({})).with(asked.effect(EffectKind::Accepted, name))
    }
}
