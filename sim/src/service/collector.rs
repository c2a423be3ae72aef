//! A collector of telemetry: slow, and of limited capacity.
//!
//! `POST` of a batch to any path is taken and worked on; the answer comes when that is done. A batch that arrives while
//! `capacity` others are worked on is refused with 503 and `Retry-After: 1`.

use serde_json::json;

use super::{Answered, Asked, Service};
use crate::event::EffectKind;
use crate::time::{DurationRange, SimTime};

pub(super) struct Collector {
    work: DurationRange,
    capacity: usize,
    /// When the batches that are worked on are done.
    busy: Vec<SimTime>,
}

impl Collector {
    pub(super) fn new(work: DurationRange, capacity: u32) -> Collector {
        Collector {
            work,
            capacity: capacity as usize,
            busy: Vec::new(),
        }
    }
}

impl Service for Collector {
    fn ask(&mut self, asked: Asked<'_>) -> Answered {
        if asked.method != http::Method::POST {
            return Answered::refused(405, "use POST");
        }
        self.busy.retain(|done| *done > asked.now);
        if self.busy.len() >= self.capacity {
            return Answered {
                retry_after_s: Some(1),
                ..Answered::refused(503, "busy")
            };
        }
        let takes_us = (asked.draw)("work", self.work);
        self.busy.push(SimTime(asked.now.0 + takes_us));
        Answered {
            takes_us,
            ..Answered::new(200, json!({}))
        }
        .with(asked.effect(EffectKind::Accepted, asked.path))
    }
}
