//! The two streams, colours, and errors with their exit codes.
//!
//! Owns all printing of the command line. A closed pipe (`| head`) ends printing quietly.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use reports::Colors;
use serde_json::{Value, json};
use sim::visible;

use super::Format;

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A scenario file or something it names is wrong.
    #[error(transparent)]
    Scenario(#[from] scenarios::error::Error),
    /// A recording cannot be used.
    #[error("{}: {error}", path.display())]
    Recording {
        path: PathBuf,
        error: reports::recording::Error,
    },
    /// The user's arguments ask for something impossible.
    #[error("{message}")]
    Usage { message: String, hint: String },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    /// Standard output takes no more, and not because its reader has gone.
    #[error("cannot write to standard output: {0}")]
    Out(io::Error),
    /// An operator took a run away: it never gave up its thread, or killed its process.
    #[error("{message}")]
    Lost { message: String },
    /// A run is not the one it was.
    #[error("{message}")]
    NotDeterministic { message: String, hint: String },
    /// The engine or we ourselves failed.
    #[error("fault of reconverge: {0}")]
    Fault(String),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Lost { .. } => 1,
            Self::NotDeterministic { .. } => 3,
            Self::Fault(_) => 4,
            _ => 2,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Scenario(error) => error.hint().unwrap_or_default(),
            Self::Recording { error, .. } => error.hint().to_owned(),
            Self::Usage { hint, .. } | Self::NotDeterministic { hint, .. } => hint.clone(),
            Self::Lost { .. } => String::new(),
            Self::Write { .. } => {
                "name another file or folder with --out, --rates or --state".to_owned()
            }
            Self::Out(_) => "what is printed above is not whole".to_owned(),
            Self::Fault(_) => "please report it with the command and this text".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Scenario(error) => error_json(error, None),
            _ => json!({"message": self.to_string(), "hint": self.hint()}),
        }
    }
}

/// A mistake in a file as JSON; without a place of its own it is in the whole `file`.
pub(crate) fn error_json(error: &scenarios::error::Error, file: Option<&Path>) -> Value {
    let place = error.place.as_ref();
    let file = place.map(|place| place.path()).or(file);
    json!({
        "file": file.map(|path| path.display().to_string()),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": error.to_string(),
        "hint": error.hint(),
    })
}

pub(crate) struct Output {
    /// Colours for standard output.
    pub(crate) colors: Colors,
    err_colors: Colors,
    /// Why standard output could not be written.
    failed: RefCell<Option<io::Error>>,
}

impl Output {
    pub(crate) fn new() -> Self {
        let colorless = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let on = |terminal: bool| match terminal && !colorless {
            true => Colors::On,
            false => Colors::Off,
        };
        Self {
            colors: on(std::io::stdout().is_terminal()),
            err_colors: on(std::io::stderr().is_terminal()),
            failed: RefCell::default(),
        }
    }

    /// Plain text, to standard output.
    pub(crate) fn out(&self, text: &str) {
        self.painted(&visible::text(text));
    }

    /// A value as JSON, to standard output.
    pub(crate) fn json(&self, value: &Value) {
        self.painted(&format!("{}\n", visible::json(&format!("{value:#}"))));
    }

    /// Text that may have our colours, and in which everything else has been made visible, to standard output. A reader
    /// who has gone away is not our failure.
    pub(crate) fn painted(&self, text: &str) {
        let mut stream = std::io::stdout().lock();
        let written = stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.flush());
        if let Err(error) = written
            && error.kind() != ErrorKind::BrokenPipe
        {
            self.failed.replace(Some(error));
        }
    }

    /// What kept standard output from being written, if anything did: a full disk, say.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failed.take().map(Failure::Out)
    }

    /// Plain text, to standard error.
    pub(crate) fn note(&self, text: &str) {
        self.note_painted(&visible::text(text));
    }

    fn note_painted(&self, text: &str) {
        let mut stream = std::io::stderr().lock();
        let _gone = stream.write_all(text.as_bytes());
    }

    pub(crate) fn scenario_error(&self, error: &scenarios::error::Error) {
        self.note_painted(&format!(
            "error:\n{}",
            error.render(self.err_colors == Colors::On)
        ));
    }

    /// Tells why a subcommand ends early, in `format` on standard output too: what reads JSON always gets some.
    pub(super) fn end(&self, failure: &Failure, format: Format) {
        if format == Format::Json && !matches!(failure, Failure::Out(_)) {
            self.json(&json!({
                "version": 1,
                "reconverge": crate::VERSION,
                "exitCode": failure.code(),
                "errors": [failure.json()],
            }));
        }
        self.error(failure);
    }

    pub(crate) fn error(&self, failure: &Failure) {
        if let Failure::Scenario(error) = failure {
            return self.scenario_error(error);
        }
        self.note(&format!("error: {failure}\n"));
        let hint = failure.hint();
        if !hint.is_empty() {
            self.note(&format!("  help: {hint}\n"));
        }
    }
}

/// A folder that recordings can be written to: made if need be, and tried, before any work is done.
pub(crate) fn writable(folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::Write {
        path: folder.to_owned(),
        error,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, "").map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

/// Tells of a file that cannot be written before the work whose result it is to hold.
pub(crate) fn writable_file(path: &Path) -> Result<(), Failure> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => writable(folder),
        _ => writable(Path::new(".")),
    }
}

/// The largest file of our own that is read back.
const BYTES_MAX: u64 = 1 << 30;

/// A file of our own, read back. What is no text in it is for its reader to refuse.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let bytes = scenarios::load::read(path, BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::Write {
        path: path.to_owned(),
        error,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // What was half-written goes away; that it cannot is already reported.
        let _gone = std::fs::remove_file(&part);
    }
    written.map_err(failed)
}
