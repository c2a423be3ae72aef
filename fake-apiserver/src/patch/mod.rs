//! The three patch types besides apply (E).

pub(crate) mod printed;
