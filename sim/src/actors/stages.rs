//! What a setup says about the stand-ins: the stages their objects go through and how long each takes.
//!
//! Owns plain data with its defaults. Does not own what happens in a stage (`pods`, `claims`, …).

use serde::{Deserialize, Serialize};

use crate::time::DurationRange;

/// How fast a stand-in sees and acts; what is not said is the run's own timing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// From the API server's watch cache to the stand-in: how far its view lags.
    pub watch: Option<DurationRange>,
    /// From the moment it has something to do until it does it.
    pub act: Option<DurationRange>,
}

/// The stages of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStages {
    /// How fast scheduler and kubelet see.
    pub pace: Pace,
    /// Created → bound to a node.
    pub schedule: DurationRange,
    /// Bound → Running: images are pulled, containers started.
    pub start: DurationRange,
    /// Running → Ready.
    pub ready: DurationRange,
    /// Running → done, for Pods that are to end (`restartPolicy` other than `Always`).
    pub run: DurationRange,
    /// Told to stop → stopped; the grace period cuts it short.
    pub terminate: DurationRange,
    /// A container's crash → its restart; twice as long each time, up to 16 times.
    pub restart: DurationRange,
    /// Which Pods fail; the first that fits.
    pub failures: Vec<PodFailure>,
}

impl Default for PodStages {
    fn default() -> Self {
        PodStages {
            pace: Pace::default(),
            schedule: DurationRange::ms(5, 100),
            start: DurationRange::ms(200, 3_000),
            ready: DurationRange::ms(100, 5_000),
            run: DurationRange::ms(500, 10_000),
            terminate: DurationRange::ms(100, 2_000),
            restart: DurationRange::ms(1_000, 10_000),
            failures: Vec::new(),
        }
    }
}

/// Pods that fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFailure {
    /// Their names; a `*` at the end stands for any rest.
    pub pods: String,
    /// What goes wrong.
    pub how: PodFault,
    /// No more than this many Pods of a run, those that were seen first.
    pub at_most: u32,
    /// A container that crashes does so this often and then works; `None`: always. After [`CRASHES_MAX`] crashes it is left
    /// in `CrashLoopBackOff`.
    pub times: Option<u32>,
}

/// A container that has crashed so often is not restarted any more in a run.
pub const CRASHES_MAX: u32 = 5;

impl PodFailure {
    /// Whether a Pod of that name is meant.
    pub fn fits(&self, name: &str) -> bool {
        match self.pods.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => self.pods == name,
        }
    }
}

/// What goes wrong with a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodFault {
    /// No node has room: it stays Pending, `Unschedulable`.
    Unschedulable,
    /// Its image cannot be pulled: it stays Pending, `ImagePullBackOff`.
    ImagePull,
    /// It runs and never becomes Ready.
    NeverReady,
    /// Its container exits with 1: restarted, or Failed where `restartPolicy` is `Never`.
    Crash,
}

/// The stages of a PersistentVolumeClaim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimStages {
    /// How fast the provisioner sees and acts.
    pub pace: Pace,
    /// Pending → Bound.
    pub bind: DurationRange,
}

impl Default for ClaimStages {
    fn default() -> Self {
        ClaimStages {
            pace: Pace::default(),
            bind: DurationRange::ms(100, 2_000),
        }
    }
}
