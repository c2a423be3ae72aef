//! House rules that no lint checks: `cargo test` is the whole gate.

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this is more than one thing.
const LINES_MAX: usize = 900;

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(root, &mut files);
    assert!(
        files.len() > 30,
        "the walk found only {} files",
        files.len()
    );
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is text");
            (
                path.strip_prefix(root)
                    .expect("is below the root")
                    .to_owned(),
                text,
            )
        })
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the entry can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            // What others wrote: a build's folder, whatever its name, has this tag.
            if name != "vendor" && !path.join("CACHEDIR.TAG").exists() {
                walk(&path, files);
            }
        } else if path.is_file() && path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn complain(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_owns() {
    let header = |text: &str| {
        let mut lines = text.lines().skip_while(|l| l.starts_with("#!"));
        lines.next().is_some_and(|l| l.starts_with("//!"))
    };
    let wrong = sources().into_iter().filter(|(_, text)| !header(text));
    complain(
        wrong
            .map(|(path, _)| format!("{}: begin it with `//!`", path.display()))
            .collect(),
    );
}

#[test]
fn no_file_is_longer_than_one_thing() {
    let wrong = sources().into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LINES_MAX)
            .then(|| format!("{}: {lines} lines, at most {LINES_MAX}", path.display()))
    });
    complain(wrong.collect());
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself.
    let banned = [
        ["#[", "ignore"].concat(),
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["```ig", "nore"].concat(),
        ["FIX", "ME"].concat(),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (i, line) in text.lines().enumerate() {
            for word in &banned {
                if line.contains(word.as_str()) {
                    wrong.push(format!("{}:{}: {word}", path.display(), i + 1));
                }
            }
        }
    }
    complain(wrong);
}

#[test]
fn modules_are_named_after_things() {
    let banned = [
        "utils", "util", "helpers", "helper", "manager", "common", "misc",
    ];
    let wrong = sources().into_iter().filter(|(path, _)| {
        let parts = path.with_extension("");
        parts.iter().any(|part| banned.iter().any(|b| part == *b))
    });
    complain(
        wrong
            .map(|(path, _)| format!("{}: name what it owns", path.display()))
            .collect(),
    );
}

#[test]
fn only_the_hooks_are_unsafe() {
    let allow = ["allow(unsafe", "_code)"].concat();
    let expect = ["expect(unsafe", "_code"].concat();
    let expect_lines = ["expect(\n    unsafe", "_code"].concat();
    let wrong = sources().into_iter().filter(|(path, text)| {
        let lifts = text.contains(&allow) || text.contains(&expect) || text.contains(&expect_lines);
        lifts && !path.starts_with("sim/src/entropy") && !path.starts_with("sim/src/lib.rs")
    });
    complain(
        wrong
            .map(|(path, _)| format!("{}: unsafe code belongs to sim::entropy", path.display()))
            .collect(),
    );
}
