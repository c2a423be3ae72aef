//! `schema`: the JSON Schema of scenario files.

use super::{Failure, Output};

pub(super) fn schema(output: &Output) -> Result<u8, Failure> {
    output.out(&crate::scenario_schema());
    Ok(0)
}
