//! The catalogue as test cases: one per file and variant. `cargo test --test scenarios -- --help` is libtest's help,
//! `cargo test --test scenarios -- run …` the command line.

reconverge::scenario_tests!("scenarios/", operators::all());
