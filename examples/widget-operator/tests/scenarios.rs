//! The scenario files under `scenarios/`, one test case per file and variant.
//!
//! `cargo test --test scenarios -- run scenarios/` is the whole command line, with this crate's operators.

use reconverge::prelude::*;

reconverge::scenario_tests!(
    "scenarios/",
    Operators::new().add("widget::run", |cx| widget_operator::run(cx.client))
);
