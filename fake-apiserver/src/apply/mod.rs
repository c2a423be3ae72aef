//! Server-side apply and managedFields (F): who owns which field after every write.
//!
//! Owns field sets, the tracking of plain writes ([`track`]), [`apply`] with its conflicts, the form of managedFields, and
//! which fields an endpoint ignores ([`Ignored`]). Does not own decoding, defaulting or storage: callers hand in objects as
//! they are at the point where a real server's field manager sees them (before admission, after decoding and defaulting).
//! Source: apimachinery `pkg/util/managedfields`, structured-merge-diff v6, KEP-555.

mod applying;
mod compare;
mod configuration;
mod entries;
mod field_set;
mod ignored;
mod managed;
mod scale;
mod shape;
mod typed;

#[cfg(test)]
mod tests;

pub use applying::apply;
pub(crate) use applying::object_text;
pub(crate) use configuration::merge_configuration;
pub use entries::invalid_entries;
pub use ignored::Ignored;
pub use managed::{Tracking, keep_times, track};
pub use scale::{ReplicasPath, SCALE_VERSION, to_parent, to_scale};
