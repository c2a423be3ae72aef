//! GET and list: revisions, selectors, pages (D3, H).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::create::from_storage;
use super::{Answer, Halt, ListAnswer, Session, Wait, conversion};
use crate::json;
use crate::registry::Resource;
use crate::request::ListOptions;
use crate::request::selector::FieldSelector;
use crate::status::{Status, go_quote};
use crate::store::{Key, Object};

/// How long a cache is waited for (H9).
const FRESHNESS_WAIT: Duration = Duration::from_secs(3);

/// Reads one object.
pub(super) fn get(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let info = &s.request.info;
    let namespace = if row.namespaced { &info.namespace } else { "" };
    let key = Key::new(namespace, &info.name);
    let text = s.request.query.text("resourceVersion");
    let found = if text.is_empty() {
        s.core.store.get(row.id, &key).cloned()
    } else {
        let revision = parse_version(text).map_err(|message| {
            if row.facts.cached {
                Status::bare(message)
            } else {
                Status::bad_request(format!("invalid resource version: {message}"))
            }
        })?;
        let at = reach(s, &row, revision)?;
        s.core.store.at(row.id, at).get(&key).cloned()
    };
    match found {
        Some(object) if row.needs_webhook() => {
            let value = conversion::live(s, &row, &object)?;
            Ok(Answer::Value {
                row,
                value,
                code: 200,
            })
        }
        Some(object) => Ok(Answer::Stored {
            row,
            object,
            code: 200,
        }),
        None => Err(Status::not_found(&row.group, &row.plural, &key_name(&key)).into()),
    }
}

fn key_name(key: &Key) -> String {
    key.name().to_owned()
}

/// A resourceVersion of a query as a number, or the message that it is none.
pub(super) fn parse_version(text: &str) -> Result<u64, String> {
    text.parse::<u64>()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let why = if digits && !text.is_empty() {
                "value out of range"
            } else {
                "invalid syntax"
            };
            let quoted = go_quote(text);
            format!(
                "resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: {why}"
            )
        })
}

/// Waits until this server's cache has reached a revision; the cache's revision then. Uncached kinds read storage.
fn reach(s: &mut Session<'_>, row: &Resource, revision: u64) -> Result<u64, Halt> {
    if !row.facts.cached {
        let current = s.core.store.revision();
        if revision > current {
            return Err(Status::too_large_resource_version(revision, current, 0).into());
        }
        return Ok(current);
    }
    let at = s.core.caches.revision(&s.core.store, s.server, row.id);
    if revision <= at {
        return Ok(at);
    }
    if s.attempt.gave_up {
        return Err(Status::too_large_resource_version(revision, at, 1).into());
    }
    Err(Halt::Wait(Wait {
        resource: row.id,
        revision,
        until: s.now + FRESHNESS_WAIT,
    }))
}

/// Lists objects.
pub(super) fn list(s: &mut Session<'_>, row: Arc<Resource>) -> Result<Answer, Halt> {
    let options = ListOptions::for_list(&s.request.query)?;
    let page = page(s, &row, &options)?;
    Ok(Answer::List(page))
}

/// A continue token, taken apart.
struct Token {
    /// Revision of the first page; -1 = whatever is newest (H6).
    revision: i64,
    /// The key to go on from, relative to the list's prefix.
    start: String,
}

/// One page of a list (or all of it).
pub(super) fn page(
    s: &mut Session<'_>,
    row: &Arc<Resource>,
    options: &ListOptions,
) -> Result<ListAnswer, Halt> {
    check_fields(row, &options.fields)?;
    let current = s.core.store.revision();
    let mut limit = options.limit;
    // A list by name reads that one key: nothing to page through.
    let named = options.fields.exact("metadata.name").is_some();
    if named {
        limit = 0;
    }
    let text = options.resource_version.as_str();
    let mut start = String::new();
    let revision = if !options.token.is_empty() {
        if !matches!(text, "" | "0") {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(why).into());
        }
        let token = Token::parse(&options.token).map_err(|why| {
            let message = format!("invalid continue token: continue key is not valid: {why}");
            Status::bad_request(message)
        })?;
        if text == "0" && row.facts.cached {
            limit = 0;
        }
        start.clone_from(&token.start);
        match u64::try_from(token.revision) {
            Ok(revision) => {
                if revision > current {
                    reach(s, row, revision)?;
                }
                if revision < s.core.store.compacted() {
                    return Err(expired_page(token).into());
                }
                revision
            }
            Err(_) => current,
        }
    } else if text.is_empty() {
        current
    } else {
        let asked = parse_version(text).map_err(|message| {
            Status::bad_request(format!("invalid resource version: {message}"))
        })?;
        let exact = options.matching == "Exact" || (options.matching.is_empty() && limit > 0);
        if asked == 0 && options.matching != "Exact" {
            if row.facts.cached {
                limit = 0;
                s.core.caches.applied(s.server, row.id)
            } else {
                current
            }
        } else if exact && asked != 0 {
            if asked > current {
                reach(s, row, asked)?;
            }
            if asked < s.core.store.compacted() {
                let why = "The resourceVersion for the provided list is too old.";
                return Err(Status::expired(why).into());
            }
            asked
        } else {
            reach(s, row, asked)?
        }
    };
    let mut page = scan(s, row, options, revision, limit, &start);
    conversion::fill(s, row, &mut page.items)?;
    Ok(page)
}

/// Reads a page at a revision.
fn scan(
    s: &Session<'_>,
    row: &Arc<Resource>,
    options: &ListOptions,
    revision: u64,
    limit: i64,
    start: &str,
) -> ListAnswer {
    let namespace = &s.request.info.namespace;
    let narrow = row.namespaced && !namespace.is_empty();
    let prefix = if narrow {
        format!("{namespace}/")
    } else {
        String::new()
    };
    let from = Key::from_text(&format!("{prefix}{start}"));
    let to = narrow.then(|| Key::namespace_range(namespace).1);
    let view = s.core.store.at(row.id, revision);
    let selective = !options.labels.is_empty() || !options.fields.is_empty();
    let mut items = Vec::new();
    let (mut token, mut remaining) = (String::new(), None);
    let mut rest = view.range(Some(&from), to.as_ref());
    let mut last: Option<&Key> = None;
    while let Some((key, object)) = rest.next() {
        if limit > 0 && items.len() as i64 == limit {
            let last = last.map_or("", Key::as_str);
            let relative = last.strip_prefix(prefix.as_str()).unwrap_or(last);
            token = Token {
                revision: revision as i64,
                start: format!("{relative}\0"),
            }
            .text();
            if !selective {
                remaining = Some(1 + rest.count() as i64);
            }
            break;
        }
        if !selective || selects(row, options, object) {
            items.push(object.clone());
        }
        last = Some(key);
    }
    ListAnswer {
        row: row.clone(),
        items,
        revision,
        token,
        remaining,
    }
}

/// H10, H10a: whether both selectors take an object.
pub(super) fn selects(row: &Resource, options: &ListOptions, object: &Object) -> bool {
    if !options.labels.matches(object.value()) {
        return false;
    }
    if options.fields.is_empty() {
        return true;
    }
    let converted;
    let value = if row.reshapes() {
        converted = from_storage(row, object);
        &converted
    } else {
        object.value()
    };
    options.fields.matches(|field| match field {
        "metadata.name" => Some(value.str_at(&["metadata", "name"]).into()),
        "metadata.namespace" => Some(value.str_at(&["metadata", "namespace"]).into()),
        _ => row.strategy.field(row, value, field),
    })
}

/// H10a: 400 for a field the kind cannot be selected by.
pub(super) fn check_fields(row: &Resource, fields: &FieldSelector) -> Result<(), Status> {
    for field in fields.fields() {
        row.strategy
            .check_field(row, field)
            .map_err(Status::bad_request)?;
    }
    Ok(())
}

/// H6: the page's revision is gone; the token in the answer goes on at the newest state.
fn expired_page(token: Token) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let token = Token {
        revision: -1,
        start: token.start,
    };
    status.continue_token = Some(token.text());
    status
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Token {
    fn text(&self) -> String {
        let value = json!({"v": TOKEN_VERSION, "rv": self.revision, "start": &self.start});
        URL_SAFE_NO_PAD.encode(json::to_vec(&value))
    }

    /// H5: the token of a query, or why it is none.
    fn parse(text: &str) -> Result<Token, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(length) => length - 1,
                base64::DecodeError::InvalidPadding => text.find('=').unwrap_or(text.len()),
            };
            format!("illegal base64 data at input byte {at}")
        })?;
        let value = json::parse(&bytes).map_err(|error| error.message)?;
        if !value.is_object() {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type storage.continueToken",
                value.type_name()
            ));
        }
        for (field, go) in [("v", "string"), ("rv", "int64"), ("start", "string")] {
            let fits = match &value[field] {
                json::Value::Null => true,
                json::Value::String(_) => go == "string",
                other => go == "int64" && other.as_i64().is_some(),
            };
            if !fits {
                return Err(format!(
                    "json: cannot unmarshal {} into Go struct field continueToken.{field} of type {go}",
                    value[field].type_name()
                ));
            }
        }
        let version = value.str_at(&["v"]);
        if version != TOKEN_VERSION {
            return Err(format!(
                "server does not recognize this encoded version {version}"
            ));
        }
        let revision = value.i64_at(&["rv"]).unwrap_or(0);
        if revision == 0 {
            return Err(format!(
                "incorrect encoded start resourceVersion (version {TOKEN_VERSION})"
            ));
        }
        let start = value.str_at(&["start"]);
        if start.is_empty() {
            return Err(format!("encoded start key empty (version {TOKEN_VERSION})"));
        }
        let relative = start.strip_prefix('/').unwrap_or(start);
        if !is_clean(relative) {
            return Err(start.to_owned());
        }
        Ok(Token {
            revision,
            start: relative.to_owned(),
        })
    }
}

/// Whether Go's `path.Clean` would leave the key as it is.
fn is_clean(key: &str) -> bool {
    key.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
