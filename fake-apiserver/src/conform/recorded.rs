//! The recordings that come with the crate, packed into the program that judges other servers.

use super::case::{Case, unpack};

macro_rules! folders {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../tests/conformance/cases/", $name, ".jsonl.gz")).as_slice())),+]
    };
}

static FOLDERS: [(&str, &[u8]); 17] = folders![
    "admission",
    "apply",
    "builtins",
    "builtins-sa",
    "crd",
    "delete",
    "discovery",
    "gc",
    "http",
    "list",
    "namespace",
    "objects",
    "patch",
    "scale",
    "status",
    "table",
    "watch",
];

/// All cases, by folder.
pub fn cases() -> Vec<Case> {
    let unpacked = FOLDERS
        .iter()
        .map(|(name, bytes)| unpack(bytes).map_err(|error| format!("{name}: {error}")));
    let cases: Result<Vec<Vec<Case>>, String> = unpacked.collect();
    cases
        .expect("the recordings were packed by us")
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_recordings_are_there() {
        let cases = super::cases();
        let exchanges = cases
            .iter()
            .flat_map(|case| &case.steps)
            .filter(|step| step.is_exchange())
            .count();
        assert_eq!((cases.len(), exchanges), (958, 9279));
    }
}
