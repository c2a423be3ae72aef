//! What the control plane did by itself, in words.
//!
//! Recordings name a chore as the fake API server does, `CollectGarbage { resource: …, key: Key("default/demo"), … }`;
//! one that is not known here is shown as it is.

/// A recorded chore, as a timeline says it.
pub(crate) fn words(recorded: &str) -> String {
    let name = recorded.split([' ', '{']).next().unwrap_or_default();
    let what = recorded.split('"').nth(1).unwrap_or_default();
    let number = || -> String {
        let from = recorded.trim_start_matches(|c: char| !c.is_ascii_digit());
        from.chars().take_while(char::is_ascii_digit).collect()
    };
    match name {
        "CollectGarbage" => format!("garbage collector looks at {what}"),
        "Namespace" => format!("namespace controller works on {what}"),
        "ExpireEvent" => format!("event {what} expires"),
        "Definition" => format!("definition controller looks at {what}"),
        "Compact" => format!("history before @{} is compacted", number()),
        _ => recorded.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn chores_are_told_in_words() {
        for (recorded, want) in [
            (
                r#"CollectGarbage { resource: ResourceId(2), key: Key("default/demo-data"), uid: "702a" }"#,
                "garbage collector looks at default/demo-data",
            ),
            (
                r#"Namespace { name: "trial" }"#,
                "namespace controller works on trial",
            ),
            (
                "Compact { revision: 31 }",
                "history before @31 is compacted",
            ),
            ("Tomorrow { is: 7 }", "Tomorrow { is: 7 }"),
        ] {
            assert_eq!(words(recorded), want);
        }
    }
}
