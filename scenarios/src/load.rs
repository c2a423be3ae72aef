//! From paths to cases: finding scenario files, reading them and what they name, applying variants.
//!
//! Owns the meaning of a scenario folder (any `.yaml` under it is a scenario; `crds/`, `objects/` and hidden folders are
//! skipped) and of a variant (a merge patch over the file). Does not own the lowering of a case into a run (`lower`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::string::FromUtf8Error;
use std::sync::Arc;

use crate::de;
use crate::error::{Error, Problem, Result};
use crate::format::{Engine, Manifest, Scenario};
use crate::source::{Place, Source};
use crate::tree::{Node, Value};

/// The largest file that is read.
const BYTES_MAX: u64 = 16 << 20;

/// The name of the only variant of a file that has none.
pub const NO_VARIANT: &str = "default";

/// Where the text of a named file comes from.
#[derive(Clone, Debug)]
pub enum Files {
    /// The file system.
    Disk,
    /// Texts that a recording carries, by path.
    Inlined(BTreeMap<PathBuf, String>),
}

impl Files {
    fn read(&self, path: &Path, named_at: Option<&Place>) -> Result<Arc<Source>> {
        let bytes = match self {
            Self::Disk => read(path, BYTES_MAX),
            Self::Inlined(texts) => match texts.get(path) {
                Some(text) => Ok(text.clone().into_bytes()),
                None => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "the recording does not carry it",
                )),
            },
        };
        let bytes = bytes.map_err(|error| Error::read(path, error, named_at))?;
        String::from_utf8(bytes)
            .map(|text| Source::new(path, text))
            .map_err(|error| not_utf8(path, &error))
    }
}

/// A file's bytes, unless it is larger than `bytes_max`, or something that may never end, as a pipe or a device.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe waits for somebody who writes.
    let meta = fs::metadata(path)?;
    if !meta.is_file() && !meta.is_dir() {
        let message = "it is a pipe, a socket or a device; only files are read";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB", bytes_max >> 20),
        )),
        false => Ok(bytes),
    }
}

fn not_utf8(path: &Path, error: &FromUtf8Error) -> Error {
    let good = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
    let line = 1 + before.matches('\n').count() as u64;
    let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count() as u64;
    let source = Source::new(path, String::from_utf8_lossy(error.as_bytes()));
    Error::value(
        &Place::new(&source, line, column, 1),
        "this is not text in UTF-8",
        "save the file in UTF-8",
    )
}

/// A scenario file with all its cases.
#[derive(Clone, Debug)]
pub struct File {
    /// The file.
    pub source: Arc<Source>,
    /// Its cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One variant of a scenario file, ready to be lowered.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's path as the user named it.
    pub path: PathBuf,
    /// The variant's name.
    pub variant: String,
    /// What the file says with the variant's patch applied.
    pub scenario: Scenario,
    /// The same as a tree, for places.
    pub tree: Node,
    /// The objects there are when the run begins, CRDs first.
    pub objects: Vec<Object>,
    /// The objects that steps of the workload create or replace, by the step's index.
    pub created: BTreeMap<usize, Vec<Object>>,
    /// The scenario file and every file it names, in a fixed order: what a recording carries.
    pub sources: Vec<Arc<Source>>,
}

/// An object as a file gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Where it begins.
    pub place: Place,
    /// The object.
    pub json: serde_json::Value,
}

impl Object {
    /// The value of a string field under a JSON pointer; empty if there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(|v| v.as_str())
            .unwrap_or_default()
    }
}

impl Case {
    /// The place of a value by its path in the file, as `["operators", "webapp", "run"]`; the nearest that exists.
    pub fn place(&self, path: &[&str]) -> Place {
        let mut node = &self.tree;
        for step in path {
            let next = match &node.value {
                Value::Seq(items) => step.parse().ok().and_then(|i: usize| items.get(i)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.place.clone()
    }

    /// `file.yaml, variant v`: how messages and tables name this case.
    pub fn title(&self) -> String {
        format!("{} · {}", self.scenario.scenario, self.variant)
    }
}

/// The scenario files that `paths` name, each once: files as they are, folders searched; sorted within a folder.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let meta = fs::metadata(path).map_err(|e| Error::read(path, e, None))?;
        if !meta.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        search(path, &mut BTreeSet::new(), &mut found)?;
        if found.len() == before {
            return Err(Error {
                problem: Box::new(Problem::Empty { path: path.clone() }),
                place: None,
            });
        }
    }
    // A file that is named in two ways is one scenario.
    let mut seen = BTreeSet::new();
    found.retain(|path| match fs::canonicalize(path) {
        Ok(file) => seen.insert(file),
        Err(_) => true,
    });
    Ok(found)
}

/// The names of the scenarios that are read together: they tell recordings, rates and rows of tables apart.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, PathBuf>);

impl Names {
    /// Refuses a case whose name is that of another file's scenario.
    pub fn take(&mut self, case: &Case) -> Result<()> {
        let name = &case.scenario.scenario;
        let first = self.0.entry(name.clone()).or_insert(case.path.clone());
        match *first == case.path {
            true => Ok(()),
            false => Err(Error::value(
                &case.place(&["scenario"]),
                format!(
                    "the scenario of {} has the name `{name}` too",
                    first.display()
                ),
                "names tell recordings and rates apart: give one of them another, or run them one by one",
            )),
        }
    }
}

/// Searches a folder, unless it was `seen`: links can lead back to where they stand.
fn search(folder: &Path, seen: &mut BTreeSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |e| Error::read(folder, e, None);
    if !seen.insert(fs::canonicalize(folder).map_err(unreadable)?) {
        return Ok(());
    }
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .map_err(unreadable)?;
    // Without the extension, so that `dual-write` stands before `dual-write-put`.
    entries.sort_by_key(|entry| entry.path().with_extension(""));
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_dir() {
            // A package that stands beside the scenarios holds code, not scenarios.
            let skipped = matches!(&*name, "crds" | "objects" | "target") || name.starts_with('.');
            if !skipped && !path.join("Cargo.toml").exists() {
                search(&path, seen, found)?;
            }
        } else if matches!(
            path.extension().and_then(|e| e.to_str()),
            Some("yaml" | "yml")
        ) {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads one scenario file with all its variants.
pub fn load(path: &Path, files: &Files) -> Result<File> {
    let source = files.read(path, None)?;
    let mut base = Node::parse(&source)?;
    if base.entries().first().is_none_or(|e| e.key != "scenario") {
        return Err(Error::at(&base.place, Problem::NotAScenario));
    }
    let variants = base.remove("variants");
    let mut cases = Vec::new();
    match &variants {
        None => cases.push(case(&source, NO_VARIANT, base, files)?),
        Some(variants) => {
            if variants.entries().is_empty() {
                return Err(Error::value(
                    &variants.place,
                    "`variants` names no variant",
                    "write {buggy: {expect: {violates: […]}}, fixed: {expect: holds}}, or remove the key",
                ));
            }
            for entry in variants.entries() {
                if let Some(forbidden) = entry
                    .value
                    .entries()
                    .iter()
                    .find(|e| matches!(&*e.key, "scenario" | "variants"))
                {
                    return Err(Error::value(
                        &forbidden.place,
                        format!("a variant cannot change `{}`", forbidden.key),
                        "everything else of the file can be changed",
                    ));
                }
                let mut tree = base.clone();
                tree.merge(&entry.value);
                cases.push(case(&source, &entry.key, tree, files)?);
            }
        }
    }
    Ok(File { source, cases })
}

fn case(source: &Arc<Source>, variant: &str, tree: Node, files: &Files) -> Result<Case> {
    let scenario: Scenario = de::read(&tree)?;
    let mut case = Case {
        path: source.path.clone(),
        variant: variant.to_owned(),
        tree,
        objects: Vec::new(),
        created: BTreeMap::new(),
        sources: vec![source.clone()],
        scenario,
    };
    if case.scenario.version != 1 {
        return Err(Error::value(
            &case.place(&["version"]),
            format!(
                "version {} of the format is not known",
                case.scenario.version
            ),
            "this reconverge reads version 1",
        ));
    }
    if case.scenario.expect.is_none() && case.scenario.engine == Engine::Sim {
        let message = match variant {
            NO_VARIANT => "missing key `expect`".to_owned(),
            _ => format!("variant `{variant}` has no `expect`, and neither has the file"),
        };
        let hint = "say `expect: holds`, or `expect: {violates: [PROPERTY]}` with what must fail";
        return Err(Error::value(&case.tree.place, message, hint));
    }
    check_name(&case.place(&["scenario"]), &case.scenario.scenario)?;
    check_name(&case.tree.place, variant)?;
    read_named_files(&mut case, files)?;
    Ok(case)
}

/// Names stand in tables and in the names of recordings.
fn check_name(place: &Place, name: &str) -> Result<()> {
    match name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        true => Err(Error::value(
            place,
            format!("the name {name:?} cannot be used"),
            "lower-case words joined by dashes, up to 100 characters",
        )),
        false => Ok(()),
    }
}

fn read_named_files(case: &mut Case, files: &Files) -> Result<()> {
    let mut objects = Vec::new();
    for (i, crd) in case.scenario.cluster.crds.clone().iter().enumerate() {
        let place = case.place(&["cluster", "crds", &i.to_string()]);
        for object in read_manifest_file(case, crd, &place, files)? {
            if object.text("/kind") != "CustomResourceDefinition" {
                return Err(Error::value(
                    &object.place,
                    format!("`crds` names an object of kind `{}`", object.text("/kind")),
                    "only CustomResourceDefinitions stand under `crds`; other objects under `objects`",
                ));
            }
            objects.push(object);
        }
    }
    for (i, manifest) in case.scenario.cluster.objects.clone().iter().enumerate() {
        objects.extend(read_manifest(
            case,
            manifest,
            &["cluster", "objects", &i.to_string()],
            files,
        )?);
    }
    case.objects = objects;
    for (i, step) in case.scenario.workload.clone().iter().enumerate() {
        let manifest = step.create.as_ref().map(|m| (m, "create"));
        let manifest = manifest.or(step.replace.as_ref().map(|m| (m, "replace")));
        if let Some((manifest, word)) = manifest {
            let created =
                read_manifest(case, manifest, &["workload", &i.to_string(), word], files)?;
            case.created.insert(i, created);
        }
    }
    Ok(())
}

fn read_manifest(
    case: &mut Case,
    manifest: &Manifest,
    path: &[&str],
    files: &Files,
) -> Result<Vec<Object>> {
    match (&manifest.file, &manifest.object) {
        (Some(file), None) => {
            let mut at = path.to_vec();
            at.push("file");
            let place = case.place(&at);
            read_manifest_file(case, file, &place, files)
        }
        (None, Some(_)) => {
            let mut node = &case.tree;
            for step in path.iter().chain(&["object"]) {
                let next = match &node.value {
                    Value::Seq(items) => step.parse().ok().and_then(|i: usize| items.get(i)),
                    _ => node.get(step),
                };
                node = next.expect("the typed scenario was read from this tree");
            }
            Ok(vec![object(node)?])
        }
        _ => Err(Error::value(
            &case.place(path),
            "an object is given by exactly one of `file` and `object`",
            "write {file: ../objects/NAME.yaml}, or {object: {apiVersion: …, kind: …, metadata: …}}",
        )),
    }
}

fn read_manifest_file(
    case: &mut Case,
    file: &str,
    place: &Place,
    files: &Files,
) -> Result<Vec<Object>> {
    let path = normalize(&case.path.parent().unwrap_or(Path::new("")).join(file));
    let source = match case.sources.iter().find(|s| s.path == path) {
        Some(source) => source.clone(),
        None => {
            let source = files.read(&path, Some(place))?;
            case.sources.push(source.clone());
            source
        }
    };
    Node::parse_all(&source)?.iter().map(object).collect()
}

/// Where an object asks the server for a name.
pub(crate) const GENERATE_NAME: &str = "/metadata/generateName";

fn object(node: &Node) -> Result<Object> {
    let object = Object {
        place: node.place.clone(),
        json: node.to_json()?,
    };
    for (key, pointer) in [
        ("apiVersion", "/apiVersion"),
        ("kind", "/kind"),
        ("metadata.name", "/metadata/name"),
    ] {
        let named_by_server = key == "metadata.name" && !object.text(GENERATE_NAME).is_empty();
        if object.text(pointer).is_empty() && !named_by_server {
            return Err(Error::value(
                &node.place,
                format!("this object has no `{key}`"),
                "an object needs apiVersion, kind and metadata.name",
            ));
        }
    }
    Ok(object)
}

/// Removes `.` and `..` where that needs no look at the disk, so that equal files have equal names.
fn normalize(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(clean.components().next_back(), Some(Component::Normal(_))) =>
            {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}
