//! Defects planted between the test and the server: each must be noticed, or the test shows nothing.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A watch event is lost.
    LostEvent,
    /// A watch event comes twice.
    DoubledEvent,
    /// Two events come in the wrong order.
    SwappedEvents,
    /// A watch that goes on skips an event.
    SkippingResume,
    /// A read from storage is answered from a cache.
    StaleRead,
    /// A list at a revision is that of another one.
    InexactList,
    /// A stale write is taken.
    LostUpdate,
    /// A write that changes nothing is stored.
    NoisyNoOp,
    /// The collector is asleep.
    NoCollector,
    /// A request that waits is answered without having been stored.
    ForgottenWrite,
}

impl Defect {
    /// All of them.
    pub(crate) const ALL: [Defect; 10] = [
        Defect::LostEvent,
        Defect::DoubledEvent,
        Defect::SwappedEvents,
        Defect::SkippingResume,
        Defect::StaleRead,
        Defect::InexactList,
        Defect::LostUpdate,
        Defect::NoisyNoOp,
        Defect::NoCollector,
        Defect::ForgottenWrite,
    ];
}
