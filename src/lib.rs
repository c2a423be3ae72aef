//! Reconverge.
