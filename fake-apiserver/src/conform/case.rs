//! Cases: one small story each, as played against a real API server.
//!
//! Reads the recordings one file a case (`folder/name.json`) and the packed form: one gzip file of JSON Lines a folder,
//! each line a case on one line. Packing keeps the order of keys, which request bodies need.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::doc::Doc;

/// What went wrong while reading or packing cases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written; check the path.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not a recording; nothing of it was played.
    #[error("{path}: {what}")]
    Case {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
}

/// One recorded story.
#[derive(Clone, Debug)]
pub struct Case {
    /// `folder/what-it-shows`.
    pub name: String,
    /// What a plain server lacks, if anything.
    pub needs: Vec<String>,
    /// The steps in order.
    pub steps: Vec<Step>,
}

/// One step of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// One call and its answer.
    Request {
        /// The call.
        request: Request,
        /// The recorded answer.
        response: Response,
        /// Objects may hold more keys than recorded.
        subset: bool,
        /// Pointers of what is taken out of the answer before it is compared.
        drop: Vec<String>,
    },
    /// A stream is opened under a name.
    Watch {
        /// The name of the stream.
        name: String,
        /// The call.
        request: Request,
        /// Status and, when refused, the body.
        response: Response,
    },
    /// All that a stream has delivered since the last look.
    Events {
        /// The name of the stream.
        name: String,
        /// The events in order.
        expect: Vec<Doc>,
        /// Whether the stream has ended.
        ended: bool,
    },
    /// The client ends a stream.
    Close(String),
    /// Controllers run until nothing is left to do; a wall-clock checker waits for the condition.
    Settle(Option<Condition>),
    /// Time passes: milliseconds.
    Advance(u64),
    /// A webhook is defined, or its answers replaced.
    Hook {
        /// The name of the webhook.
        name: String,
        /// Its answers in order.
        answers: Vec<Doc>,
    },
    /// The review bodies a webhook received since the last look.
    Calls {
        /// The name of the webhook.
        name: String,
        /// The bodies in order.
        expect: Vec<Doc>,
        /// Bodies equal but for uids and times count once.
        distinct: bool,
    },
}

/// A call as recorded, symbols and all.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query, not yet percent-encoded.
    pub path: String,
    /// Headers beside the defaults; `None` takes a default away.
    pub headers: Vec<(String, Option<String>)>,
    /// The body.
    pub body: Option<Doc>,
}

/// An answer as recorded.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers to compare, each with its values.
    pub headers: Vec<(String, Vec<String>)>,
    /// The body; `None` is not compared.
    pub body: Option<Doc>,
}

/// What a wall-clock checker waits for at `settle`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The path to look at.
    pub get: String,
    /// The status it must have.
    pub status: Option<u16>,
    /// A pointer into the body and the value that must be there.
    pub equals: Option<(String, Doc)>,
}

impl Case {
    /// The folder, the part of the name before the slash.
    pub fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Reads a case from its document; the error says what is missing.
    pub fn of(doc: &Doc) -> Result<Case, String> {
        let name = text(doc, "case")?;
        let needs = doc.get("needs").map_or(Vec::new(), strings);
        let steps = doc
            .get("steps")
            .ok_or("no steps")?
            .elements()
            .iter()
            .enumerate();
        let steps = steps
            .map(|(i, step)| Step::of(step).map_err(|e| format!("step {i}: {e}")))
            .collect::<Result<_, _>>()?;
        Ok(Case { name, needs, steps })
    }
}

impl Step {
    /// Whether the step compares an answer, a stream or the calls of a webhook.
    pub fn is_exchange(&self) -> bool {
        matches!(
            self,
            Step::Request { .. } | Step::Watch { .. } | Step::Events { .. } | Step::Calls { .. }
        )
    }

    fn of(doc: &Doc) -> Result<Step, String> {
        let list = |key: &str| doc.get(key).map_or(Vec::new(), |d| d.elements().to_vec());
        if doc.get("watch").is_some() {
            return Ok(Step::Watch {
                name: text(doc, "watch")?,
                request: request(doc)?,
                response: response(doc)?,
            });
        }
        if doc.get("request").is_some() {
            return Ok(Step::Request {
                request: request(doc)?,
                response: response(doc)?,
                subset: doc.get("match").and_then(Doc::as_str) == Some("subset"),
                drop: doc.get("drop").map_or(Vec::new(), strings),
            });
        }
        if doc.get("events").is_some() {
            let ended = doc.get("ended") == Some(&Doc::Bool(true));
            return Ok(Step::Events {
                name: text(doc, "events")?,
                expect: list("expect"),
                ended,
            });
        }
        if doc.get("close").is_some() {
            return Ok(Step::Close(text(doc, "close")?));
        }
        if let Some(settle) = doc.get("settle") {
            return Ok(Step::Settle(
                matches!(settle, Doc::Object(_))
                    .then(|| condition(settle))
                    .transpose()?,
            ));
        }
        if doc.get("advance").is_some() {
            let text = text(doc, "advance")?;
            return Ok(Step::Advance(
                milliseconds(&text).ok_or_else(|| format!("not a duration: {text}"))?,
            ));
        }
        if doc.get("hook").is_some() {
            return Ok(Step::Hook {
                name: text(doc, "hook")?,
                answers: list("answers"),
            });
        }
        if doc.get("calls").is_some() {
            let distinct = doc.get("match").and_then(Doc::as_str) == Some("distinct");
            return Ok(Step::Calls {
                name: text(doc, "calls")?,
                expect: list("expect"),
                distinct,
            });
        }
        Err(
            "a step is one of request, watch, events, close, settle, advance, hook, calls"
                .to_string(),
        )
    }
}

/// Reads every case under a path: a recording, a packed file, or a folder of either.
pub fn read(path: &Path) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for file in files(path)? {
        for doc in documents(&file)? {
            cases.push(Case::of(&doc).map_err(|what| Error::Case {
                path: file.clone(),
                what,
            })?);
        }
    }
    Ok(cases)
}

/// Reads the cases of one packed file, given its bytes.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Case>, String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())?;
    let doc =
        |line: &str| Doc::parse(line.as_bytes()).ok_or_else(|| "a line is not JSON".to_string());
    text.lines().map(|line| Case::of(&doc(line)?)).collect()
}

/// Packs a folder of recordings: one `FOLDER.jsonl.gz` for each folder below it. Equal input gives equal bytes.
pub fn pack(from: &Path, to: &Path) -> Result<usize, Error> {
    let mut folders: std::collections::BTreeMap<String, Vec<u8>> =
        std::collections::BTreeMap::new();
    let mut count = 0;
    for file in files(from)? {
        for doc in documents(&file)? {
            let case = Case::of(&doc).map_err(|what| Error::Case {
                path: file.clone(),
                what,
            })?;
            let lines = folders.entry(case.folder().to_string()).or_default();
            lines.extend_from_slice(doc.to_compact().as_bytes());
            lines.push(b'\n');
            count += 1;
        }
    }
    for (folder, lines) in folders {
        let path = to.join(format!("{folder}.jsonl.gz"));
        let io = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&lines).map_err(io)?;
        std::fs::write(&path, encoder.finish().map_err(io)?).map_err(io)?;
    }
    Ok(count)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io {
        path: path.to_path_buf(),
        source,
    };
    if !std::fs::metadata(path).map_err(io)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(io)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(io)?;
    entries.sort();
    let mut out = Vec::new();
    for entry in entries {
        let known = ["json", "gz"]
            .iter()
            .any(|known| entry.extension().is_some_and(|e| e == *known));
        if entry.is_dir() || known {
            out.extend(files(&entry)?);
        }
    }
    Ok(out)
}

fn documents(file: &Path) -> Result<Vec<Doc>, Error> {
    let bytes = std::fs::read(file).map_err(|source| Error::Io {
        path: file.to_path_buf(),
        source,
    })?;
    let wrong = |what: &str| Error::Case {
        path: file.to_path_buf(),
        what: what.to_string(),
    };
    if file.extension().is_none_or(|e| e != "gz") {
        return Ok(vec![Doc::parse(&bytes).ok_or_else(|| wrong("not JSON"))?]);
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_string(&mut text)
        .map_err(|e| wrong(&e.to_string()))?;
    text.lines()
        .map(|line| Doc::parse(line.as_bytes()).ok_or_else(|| wrong("a line is not JSON")))
        .collect()
}

fn request(step: &Doc) -> Result<Request, String> {
    let doc = step.get("request").ok_or("no request")?;
    let headers = doc.get("headers").map_or(&[][..], Doc::entries);
    Ok(Request {
        method: text(doc, "method")?,
        path: text(doc, "path")?,
        headers: headers
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().map(String::from)))
            .collect(),
        body: doc.get("body").filter(|body| **body != Doc::Null).cloned(),
    })
}

fn response(step: &Doc) -> Result<Response, String> {
    let doc = step.get("response").ok_or("no response")?;
    let values = |v: &Doc| match v {
        Doc::Array(_) => strings(v),
        other => other.as_str().map(String::from).into_iter().collect(),
    };
    let headers = doc.get("headers").map_or(&[][..], Doc::entries);
    Ok(Response {
        status: number(doc.get("status")).ok_or("no status")?,
        headers: headers
            .iter()
            .map(|(k, v)| (k.clone(), values(v)))
            .collect(),
        body: doc.get("body").cloned(),
    })
}

fn condition(doc: &Doc) -> Result<Condition, String> {
    let equals = doc.get("at").and_then(Doc::as_str).zip(doc.get("equals"));
    Ok(Condition {
        get: text(doc, "get")?,
        status: number(doc.get("status")),
        equals: equals.map(|(at, value)| (at.to_string(), value.clone())),
    })
}

/// Milliseconds of `1100ms`, `1.1s`, `2m` or plain seconds.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(i) => text.split_at(i),
        None => (text, "s"),
    };
    let unit = match unit {
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * unit).round() as u64)
}

fn number(doc: Option<&Doc>) -> Option<u16> {
    match doc {
        Some(Doc::Number(text)) => text.parse().ok(),
        _ => None,
    }
}

fn text(doc: &Doc, key: &str) -> Result<String, String> {
    doc.get(key)
        .and_then(Doc::as_str)
        .map(String::from)
        .ok_or_else(|| format!("no {key}"))
}

fn strings(doc: &Doc) -> Vec<String> {
    match doc {
        Doc::String(text) => vec![text.clone()],
        other => other
            .elements()
            .iter()
            .filter_map(Doc::as_str)
            .map(String::from)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(milliseconds("1100ms"), Some(1100));
        assert_eq!(milliseconds("1.1s"), Some(1100));
        assert_eq!(milliseconds("2"), Some(2000));
        assert_eq!(milliseconds("2h"), None);
    }

    #[test]
    fn steps_are_told_apart() {
        let text = r#"{"case":"a/b","steps":[{"settle":true},{"settle":{"get":"/x","status":404}},{"advance":"1s"},{"close":"w"},
            {"watch":"w","request":{"method":"GET","path":"/w"},"response":{"status":200,"headers":{}}}]}"#;
        let case = Case::of(&Doc::parse(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(case.folder(), "a");
        assert!(matches!(case.steps[0], Step::Settle(None)));
        assert!(matches!(&case.steps[1], Step::Settle(Some(c)) if c.status == Some(404)));
        assert!(matches!(case.steps[2], Step::Advance(1000)));
        assert!(case.steps[4].is_exchange() && !case.steps[3].is_exchange());
        let bad = Doc::parse(br#"{"case":"a/b","steps":[{"nope":1}]}"#).unwrap();
        assert!(Case::of(&bad).unwrap_err().starts_with("step 0: "));
    }
}
