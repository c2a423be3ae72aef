//! Webhooks of a case: the answers they were given, the reviews they received.
//!
//! Decides what a webhook answers; carrying the call is the target's work (a function call in process, HTTPS on the wire).

use std::collections::BTreeMap;

use base64::Engine as _;

use super::case::{Request, milliseconds};
use super::doc::Doc;

/// The webhooks of one case.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    hooks: BTreeMap<String, Hook>,
}

#[derive(Clone, Debug, Default)]
struct Hook {
    answers: Vec<Doc>,
    received: Vec<Doc>,
}

/// What a webhook does with one review.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Requests that the handler makes to the server first.
    pub during: Vec<Request>,
    /// How long it waits then.
    pub delay_ms: u64,
    /// It closes the connection unanswered.
    pub drop: bool,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Hooks {
    /// Defines a webhook or replaces its answers; what it received is kept.
    pub fn define(&mut self, name: &str, answers: Vec<Doc>) {
        let hook = self.hooks.entry(name.to_string()).or_default();
        hook.answers = answers;
        if hook.answers.is_empty() {
            hook.answers
                .push(Doc::Object(vec![("allowed".to_string(), Doc::Bool(true))]));
        }
    }

    /// The review bodies received since the last look.
    pub fn take(&mut self, name: &str) -> Vec<Doc> {
        self.hooks
            .get_mut(name)
            .map(|h| std::mem::take(&mut h.received))
            .unwrap_or_default()
    }

    /// Receives one review and says what to do with it.
    pub fn receive(&mut self, name: &str, body: &[u8]) -> Answer {
        let Some(hook) = self.hooks.get_mut(name) else {
            return Answer {
                status: 404,
                body: b"no such hook".to_vec(),
                ..Answer::default()
            };
        };
        let review = Doc::of_body(body);
        hook.received.push(review.clone());
        let answer = match hook.answers.len() {
            1 => hook.answers[0].clone(),
            _ => hook.answers.remove(0),
        };
        answer_to(&review, &answer)
    }
}

/// With `match: distinct` calls that differ only in uids and times count once, sorted by their text without these.
pub fn distinct(calls: Vec<Doc>) -> Vec<Doc> {
    let volatile = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ";
    let volatile = regex::Regex::new(volatile).expect("a constant pattern");
    let mut seen = BTreeMap::new();
    for mut call in calls {
        let mut patch = Doc::Object(Vec::new());
        patch.merge(&Doc::Object(vec![(
            "request".into(),
            Doc::Object(vec![("uid".into(), "any".into())]),
        )]));
        call.merge(&patch);
        let mut text = Vec::new();
        text.extend_from_slice(
            volatile
                .replace_all(&String::from_utf8_lossy(&call.sorted().to_body()), "")
                .as_bytes(),
        );
        seen.insert(text, call);
    }
    seen.into_values().collect()
}

fn answer_to(review: &Doc, recorded: &Doc) -> Answer {
    let empty = Doc::Object(Vec::new());
    let request = review.get("request").unwrap_or(&empty);
    let mut recorded = recorded.clone();
    if let Some(by_version) = recorded.get("$to") {
        let wanted = request
            .get("desiredAPIVersion")
            .and_then(Doc::as_str)
            .unwrap_or_default();
        let version = wanted.rsplit('/').next().unwrap_or_default();
        recorded = by_version.get(version).cloned().unwrap_or(empty.clone());
    }
    let mut answer = Answer {
        status: 200,
        ..Answer::default()
    };
    let during = recorded.get("$during").map_or(&[][..], Doc::elements);
    answer.during = during.iter().filter_map(call).collect();
    answer.delay_ms = recorded
        .get("$delay")
        .and_then(Doc::as_str)
        .and_then(milliseconds)
        .unwrap_or(0);
    answer.drop = recorded.get("$drop") == Some(&Doc::Bool(true));
    if let Some(Doc::Number(status)) = recorded.get("$status") {
        answer.status = status.parse().unwrap_or(500);
    }
    if let Some(text) = recorded.get("$text").and_then(Doc::as_str) {
        answer.body = text.as_bytes().to_vec();
        return answer;
    }
    let member = |key: &str| review.get(key).cloned().unwrap_or(Doc::Null);
    let uid = request.get("uid").cloned().unwrap_or(Doc::Null);
    let mut response = Doc::Object(vec![("uid".into(), uid)]);
    if let Some(patch) = recorded.get("$convert") {
        let moves = recorded.get("$move").map_or(&[][..], Doc::entries);
        let wanted = request
            .get("desiredAPIVersion")
            .cloned()
            .unwrap_or(Doc::Null);
        let objects = request.get("objects").map_or(&[][..], Doc::elements);
        let converted = objects
            .iter()
            .map(|object| converted(object, &wanted, moves, patch))
            .collect();
        response.merge(&Doc::Object(vec![
            ("convertedObjects".into(), Doc::Array(converted)),
            (
                "result".into(),
                Doc::Object(vec![("status".into(), "Success".into())]),
            ),
        ]));
    } else {
        if let Some(patch) = recorded.get("$patch") {
            let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_body());
            response.merge(&Doc::Object(vec![
                ("patchType".into(), "JSONPatch".into()),
                ("patch".into(), Doc::String(patch)),
            ]));
        }
        let control = |key: &String| {
            [
                "$patch", "$during", "$delay", "$drop", "$status", "$review", "$move",
            ]
            .contains(&key.as_str())
        };
        response.merge(&Doc::Object(
            recorded
                .entries()
                .iter()
                .filter(|(k, _)| !control(k))
                .cloned()
                .collect(),
        ));
    }
    let mut out = Doc::Object(vec![
        ("apiVersion".into(), member("apiVersion")),
        ("kind".into(), member("kind")),
        ("response".into(), response),
    ]);
    if let Some(edit) = recorded.get("$review") {
        out.merge(edit);
    }
    answer.body = out.to_body();
    answer
}

fn call(doc: &Doc) -> Option<Request> {
    let (method, path) = doc.get("call")?.as_str()?.split_once(' ')?;
    let body = doc.get("body").filter(|b| **b != Doc::Null).cloned();
    let mut headers: Vec<(String, Option<String>)> = Vec::new();
    if body.is_some() {
        headers.push(("Content-Type".into(), Some("application/json".into())));
    }
    for (name, value) in doc.get("headers").map_or(&[][..], Doc::entries) {
        headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.as_str().map(String::from)));
    }
    Some(Request {
        method: method.into(),
        path: path.into(),
        headers,
        body,
    })
}

fn converted(object: &Doc, wanted: &Doc, moves: &[(String, Doc)], patch: &Doc) -> Doc {
    let mut object = object.clone();
    object.merge(&Doc::Object(vec![("apiVersion".into(), wanted.clone())]));
    for (from, to) in moves {
        if let Some(value) = object.pointer(from).cloned() {
            object.remove(from);
            let mut nested = value;
            for part in to
                .as_str()
                .unwrap_or_default()
                .trim_matches('/')
                .rsplit('/')
            {
                nested = Doc::Object(vec![(part.to_string(), nested)]);
            }
            place(&mut object, nested);
        }
    }
    object.merge(patch);
    object
}

/// Puts a value at the end of a chain of single keys; unlike a merge it keeps `null` and replaces what is there.
fn place(into: &mut Doc, chain: Doc) {
    let (Doc::Object(entries), Doc::Object(chain)) = (into, chain) else {
        return;
    };
    for (key, value) in chain {
        match entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old))
                if matches!(old, Doc::Object(_))
                    && matches!(&value, Doc::Object(v) if v.len() == 1) =>
            {
                place(old, value)
            }
            Some((_, old)) => *old = value,
            None => entries.push((key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(text: &str) -> Doc {
        Doc::parse(text.as_bytes()).unwrap()
    }

    fn hooks(answers: &str) -> Hooks {
        let mut hooks = Hooks::default();
        hooks.define("h", doc(answers).elements().to_vec());
        hooks
    }

    const REVIEW: &[u8] =
        br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u"}}"#;

    #[test]
    fn answers_are_used_in_order_and_the_last_for_ever() {
        let mut hooks = hooks(r#"[{"allowed":false},{"allowed":true}]"#);
        let allowed = |a: Answer| Doc::of_body(&a.body).pointer("/response/allowed").cloned();
        assert_eq!(allowed(hooks.receive("h", REVIEW)), Some(Doc::Bool(false)));
        assert_eq!(allowed(hooks.receive("h", REVIEW)), Some(Doc::Bool(true)));
        assert_eq!(allowed(hooks.receive("h", REVIEW)), Some(Doc::Bool(true)));
        assert_eq!(hooks.take("h").len(), 3);
        assert_eq!(hooks.take("h").len(), 0);
        assert_eq!(hooks.receive("other", REVIEW).status, 404);
    }

    #[test]
    fn patches_reviews_and_controls() {
        let mut hooks = hooks(
            r#"[{"allowed":true,"$patch":[{"op":"add"}],"$review":{"kind":"X"},"$delay":"2s","$during":[{"call":"GET /a"}]}]"#,
        );
        let answer = hooks.receive("h", REVIEW);
        assert_eq!(
            (
                answer.delay_ms,
                answer.during.len(),
                answer.during[0].path.as_str()
            ),
            (2000, 1, "/a")
        );
        let body = Doc::of_body(&answer.body).to_compact();
        assert_eq!(
            body,
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"X","response":{"uid":"u","patchType":"JSONPatch","patch":"W3sib3AiOiAiYWRkIn1d","allowed":true}}"#
        );
    }

    #[test]
    fn conversion_moves_and_patches() {
        let mut hooks = hooks(
            r#"[{"$to":{"v2":{"$convert":{"x":1},"$move":{"/spec/a":"/spec/b/c","/spec/none":"/y"}}}}]"#,
        );
        let review = br#"{"kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"g/v2","objects":[{"apiVersion":"g/v1","spec":{"a":5}}]}}"#;
        let body = Doc::of_body(&hooks.receive("h", review).body);
        let object = body
            .pointer("/response/convertedObjects/0")
            .unwrap()
            .to_compact();
        assert_eq!(
            object,
            r#"{"apiVersion":"g/v2","spec":{"b":{"c":5}},"x":1}"#
        );
    }

    #[test]
    fn distinct_calls_are_merged_and_sorted() {
        let uid = "0f0e0d0c-1111-2222-3333-0123456789ab";
        let call = |name: &str, uid: &str| {
            doc(&format!(
                r#"{{"request":{{"uid":"{uid}","name":"{name}"}}}}"#
            ))
        };
        let out = distinct(vec![call("b", uid), call("a", uid), call("b", "other")]);
        assert_eq!(
            out.iter().map(Doc::to_compact).collect::<Vec<_>>(),
            [
                r#"{"request":{"uid":"any","name":"a"}}"#,
                r#"{"request":{"uid":"any","name":"b"}}"#
            ]
        );
    }
}
