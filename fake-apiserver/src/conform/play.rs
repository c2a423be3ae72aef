//! Plays cases against a target and reports every difference.
//!
//! The player owns the symbols and the comparing; a [`Target`] carries requests to a server and lets its time pass.

use super::case::{Case, Condition, Request, Response, Step};
use super::compare::{Difference, compare};
use super::doc::Doc;
use super::hooks::distinct;
use super::symbols::Bindings;

/// A server under test.
pub trait Target {
    /// Sends one request and waits for its answer; the error is a broken connection, in words.
    fn call(&mut self, call: &Call) -> Result<Reply, String>;
    /// Opens a stream; a refused one has its body in the reply.
    fn open(&mut self, name: &str, call: &Call) -> Result<Reply, String>;
    /// The lines that a stream has delivered since the last look, and whether it has ended.
    /// `at_least` is how many a wall-clock target waits for.
    fn events(&mut self, name: &str, at_least: usize) -> Result<(Vec<Vec<u8>>, bool), String>;
    /// Ends a stream.
    fn close(&mut self, name: &str);
    /// Controllers run until nothing is left to do.
    fn settle(&mut self, condition: Option<&Condition>);
    /// Time passes.
    fn advance(&mut self, milliseconds: u64);
    /// Defines a webhook and returns its URL and the CA bundle that its certificate verifies against.
    fn hook(&mut self, name: &str, answers: Vec<Doc>) -> Result<(String, String), String>;
    /// The bodies that a webhook received since the last look.
    fn calls(&mut self, name: &str) -> Vec<Doc>;
}

/// A call with its symbols filled in.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// Path and query, percent-encoded.
    pub uri: String,
    /// Headers beside the defaults; `None` takes a default away.
    pub headers: Vec<(String, Option<String>)>,
    /// The body.
    pub body: Option<Vec<u8>>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What playing one case gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// The case.
    pub case: String,
    /// How many answers it compares.
    pub exchanges: usize,
    /// The steps that differ.
    pub wrong: Vec<Wrong>,
}

/// One step that differs.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// The number of the step in its case, from 0; `None` is the order of revisions at the end.
    pub step: Option<usize>,
    /// The call, in short.
    pub what: String,
    /// All differences of the step.
    pub differences: Vec<Difference>,
}

impl Wrong {
    /// Whether nothing but the wording of messages differs.
    pub fn is_wording(&self) -> bool {
        !self.differences.is_empty() && self.differences.iter().all(|d| d.wording)
    }
}

impl Report {
    /// How many exchanges are right to the letter.
    pub fn right(&self) -> usize {
        self.exchanges
            - self
                .wrong
                .iter()
                .filter(|w| w.step.is_some())
                .count()
                .min(self.exchanges)
    }

    /// How many more are right but for wording.
    pub fn wording(&self) -> usize {
        self.wrong
            .iter()
            .filter(|w| w.step.is_some() && w.is_wording())
            .count()
    }
}

/// Plays one case from its first step to its last.
pub fn play(case: &Case, target: &mut dyn Target) -> Report {
    let mut player = Player {
        target,
        bindings: Bindings::default(),
    };
    let mut wrong = Vec::new();
    for (i, step) in case.steps.iter().enumerate() {
        match player.step(step) {
            Ok(differences) if differences.is_empty() => {}
            Ok(differences) => wrong.push(Wrong {
                step: Some(i),
                what: title(step),
                differences,
            }),
            Err(what) => {
                let differences = vec![Difference::new("exchange", None, Some(Doc::String(what)))];
                wrong.push(Wrong {
                    step: Some(i),
                    what: title(step),
                    differences,
                });
            }
        }
    }
    for what in player.bindings.disorder() {
        let differences = vec![Difference::new("order", None, Some(Doc::String(what)))];
        wrong.push(Wrong {
            step: None,
            what: "resourceVersions must rise as recorded".to_string(),
            differences,
        });
    }
    Report {
        case: case.name.clone(),
        exchanges: case.steps.iter().filter(|s| s.is_exchange()).count(),
        wrong,
    }
}

/// Percent-encodes a path as the recorder does: `%` stands, everything beside the usual marks is encoded.
pub fn percent_encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/?&=%:,;+~!*'()[]@$-._".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

struct Player<'a> {
    target: &'a mut dyn Target,
    bindings: Bindings,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Result<Vec<Difference>, String> {
        let mut out = Vec::new();
        match step {
            Step::Request {
                request,
                response,
                subset,
                drop,
            } => {
                let call = self.filled(request)?;
                let reply = self.target.call(&call)?;
                let mut body = Doc::of_body(&reply.body);
                drop.iter().for_each(|pointer| body.remove(pointer));
                self.status(response, &reply, &mut out);
                if let Some(want) = response.body.as_ref().filter(|_| request.method != "HEAD") {
                    compare(want, &body, "", *subset, &mut self.bindings, &mut out);
                }
                self.headers(response, &reply, &mut out);
            }
            Step::Watch {
                name,
                request,
                response,
            } => {
                let call = self.filled(request)?;
                let reply = self.target.open(name, &call)?;
                self.status(response, &reply, &mut out);
                if let Some(want) = response.body.as_ref().filter(|_| out.is_empty()) {
                    compare(
                        want,
                        &Doc::of_body(&reply.body),
                        "",
                        false,
                        &mut self.bindings,
                        &mut out,
                    );
                }
            }
            Step::Events {
                name,
                expect,
                ended,
            } => {
                let (lines, over) = self.target.events(name, expect.len())?;
                let events: Vec<Doc> = lines.iter().map(|line| Doc::of_body(line)).collect();
                self.all(expect, &events, "events", &mut out);
                if over != *ended {
                    out.push(Difference::new(
                        "ended",
                        Some(Doc::Bool(*ended)),
                        Some(Doc::Bool(over)),
                    ));
                }
            }
            Step::Close(name) => self.target.close(name),
            Step::Settle(condition) => {
                let condition = condition.clone().map(|mut c| {
                    c.get = self
                        .bindings
                        .fill_text(&c.get)
                        .map(|p| percent_encoded(&p))
                        .unwrap_or(c.get);
                    c
                });
                self.target.settle(condition.as_ref());
            }
            Step::Advance(milliseconds) => self.target.advance(*milliseconds),
            Step::Hook { name, answers } => {
                let answers = answers
                    .iter()
                    .map(|a| self.bindings.fill(a))
                    .collect::<Result<_, _>>()?;
                let (url, ca) = self.target.hook(name, answers)?;
                self.bindings.bind("hook", name, url);
                self.bindings.bind("ca", "", ca);
            }
            Step::Calls {
                name,
                expect,
                distinct: merged,
            } => {
                let mut calls = self.target.calls(name);
                if *merged {
                    calls = distinct(calls);
                }
                self.all(expect, &calls, "calls", &mut out);
            }
        }
        Ok(out)
    }

    fn filled(&self, request: &Request) -> Result<Call, String> {
        let fill = |text: &String| self.bindings.fill_text(text);
        let header = |(name, value): &(String, Option<String>)| {
            Ok((fill(name)?, value.as_ref().map(fill).transpose()?))
        };
        Ok(Call {
            method: request.method.clone(),
            uri: percent_encoded(&fill(&request.path)?),
            headers: request
                .headers
                .iter()
                .map(header)
                .collect::<Result<_, String>>()?,
            body: request
                .body
                .as_ref()
                .map(|body| self.bindings.fill(body).map(|b| b.to_body()))
                .transpose()?,
        })
    }

    fn status(&self, response: &Response, reply: &Reply, out: &mut Vec<Difference>) {
        if response.status != reply.status {
            let number = |n: u16| Some(Doc::Number(n.to_string()));
            out.push(Difference::new(
                "status",
                number(response.status),
                number(reply.status),
            ));
        }
    }

    fn headers(&mut self, response: &Response, reply: &Reply, out: &mut Vec<Difference>) {
        for (name, want) in &response.headers {
            let got: Vec<&String> = reply
                .headers
                .iter()
                .filter(|(n, _)| n == name)
                .map(|(_, v)| v)
                .collect();
            let same = want.len() == got.len()
                && want
                    .iter()
                    .zip(&got)
                    .all(|(w, g)| self.bindings.matches(w, g));
            if !same {
                let list = |values: Vec<String>| {
                    Some(Doc::Array(values.into_iter().map(Doc::String).collect()))
                };
                let wording = name == "warning" && want.len() == got.len();
                let got = list(got.into_iter().cloned().collect());
                out.push(Difference {
                    wording,
                    ..Difference::new(format!("header {name}"), list(want.clone()), got)
                });
            }
        }
    }

    fn all(&mut self, want: &[Doc], got: &[Doc], at: &str, out: &mut Vec<Difference>) {
        for (i, (want, got)) in want.iter().zip(got).enumerate() {
            compare(
                want,
                got,
                &format!("{at}/{i}"),
                false,
                &mut self.bindings,
                out,
            );
        }
        for (i, missing) in want.iter().enumerate().skip(got.len()) {
            out.push(Difference::new(
                format!("{at}/{i}"),
                Some(missing.clone()),
                None,
            ));
        }
        for (i, more) in got.iter().enumerate().skip(want.len()) {
            out.push(Difference::new(
                format!("{at}/{i}"),
                None,
                Some(more.clone()),
            ));
        }
    }
}

fn title(step: &Step) -> String {
    match step {
        Step::Request { request, .. } => format!("{} {}", request.method, request.path),
        Step::Watch { name, request, .. } => format!("watch {name} {}", request.path),
        Step::Events { name, .. } => format!("events of {name}"),
        Step::Calls { name, .. } => format!("calls of {name}"),
        Step::Hook { name, .. } => format!("hook {name}"),
        Step::Close(name) => format!("close {name}"),
        Step::Settle(_) => "settle".to_string(),
        Step::Advance(ms) => format!("advance {ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Echo(Vec<Call>);

    impl Target for Echo {
        fn call(&mut self, call: &Call) -> Result<Reply, String> {
            self.0.push(call.clone());
            let headers = vec![("content-type".to_string(), "application/json".to_string())];
            Ok(Reply {
                status: 200,
                headers,
                body: br#"{"metadata":{"resourceVersion":"7"}}"#.to_vec(),
            })
        }
        fn open(&mut self, _: &str, call: &Call) -> Result<Reply, String> {
            self.call(call)
        }
        fn events(&mut self, _: &str, _: usize) -> Result<(Vec<Vec<u8>>, bool), String> {
            Ok((vec![b"{}".to_vec()], false))
        }
        fn close(&mut self, _: &str) {}
        fn settle(&mut self, _: Option<&Condition>) {}
        fn advance(&mut self, _: u64) {}
        fn hook(&mut self, _: &str, _: Vec<Doc>) -> Result<(String, String), String> {
            Ok((String::new(), String::new()))
        }
        fn calls(&mut self, _: &str) -> Vec<Doc> {
            Vec::new()
        }
    }

    fn played(steps: &str) -> (Report, Echo) {
        let case = Case::of(
            &Doc::parse(format!(r#"{{"case":"a/b","steps":{steps}}}"#).as_bytes()).unwrap(),
        )
        .unwrap();
        let mut target = Echo::default();
        (play(&case, &mut target), target)
    }

    const FIRST: &str = r#"{"request":{"method":"GET","path":"/a b"},"response":{"status":200,"headers":{"content-type":"application/json"},"body":{"metadata":{"resourceVersion":"«rv:1»"}}}}"#;

    #[test]
    fn symbols_travel_from_answers_to_requests() {
        let (report, target) = played(&format!(
            r#"[{FIRST},{{"request":{{"method":"GET","path":"/?rv=«rv:1»"}},"response":{{"status":200,"headers":{{}}}}}}]"#
        ));
        assert!(report.wrong.is_empty(), "{report:?}");
        assert_eq!((report.exchanges, report.right()), (2, 2));
        assert_eq!(
            target.0.iter().map(|c| c.uri.as_str()).collect::<Vec<_>>(),
            ["/a%20b", "/?rv=7"]
        );
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let (report, _) = played(
            r#"[{"request":{"method":"GET","path":"/"},"response":{"status":404,"headers":{"retry-after":"1"},"body":{"x":1}}},
                {"events":"w","expect":[{},{"type":"ADDED"}],"ended":true},
                {"request":{"method":"GET","path":"/«uid:1»"},"response":{"status":200,"headers":{}}}]"#,
        );
        let at: Vec<Vec<&str>> = report
            .wrong
            .iter()
            .map(|w| w.differences.iter().map(|d| d.at.as_str()).collect())
            .collect();
        assert_eq!(
            at,
            [
                vec!["status", "/x", "/metadata", "header retry-after"],
                vec!["events/1", "ended"],
                vec!["exchange"]
            ]
        );
        assert_eq!(
            (report.exchanges, report.right(), report.wording()),
            (3, 0, 0)
        );
    }
}
