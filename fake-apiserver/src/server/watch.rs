//! Watches: opening, first events, following a cache, bookmarks, ends (W).
//!
//! A watch follows the cache of its server: each write the cache applies is offered to it, in order, once.
//! Invariant: a watch never sees a revision twice nor one below its position.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::conversion;
use super::read::{check_fields, parse_version, selects};
use super::{Answer, Core, EventKind, Halt, Output, ServerId, Session, Wait, WatchId, answer};
use crate::json::Value;
use crate::registry::Resource;
use crate::request::{Accept, ListOptions};
use crate::status::Status;
use crate::store::{Entry, Key, Object, itoa};
use crate::time::Timestamp;

/// An open watch.
#[derive(Debug)]
pub struct Watch {
    /// The server it hangs on.
    pub server: ServerId,
    /// What it watches.
    pub row: Arc<Resource>,
    /// The namespace, "" = all.
    pub namespace: String,
    /// The only object, "" = all.
    pub name: String,
    pub(super) options: ListOptions,
    accept: Accept,
    /// Where it began.
    pub(super) began: Began,
    /// Nothing at or below this revision is sent any more.
    pub position: u64,
    /// When it ends.
    pub deadline: Option<Timestamp>,
    /// True once the client has been told where it stands, since the last event of its own.
    bookmarked: u64,
    /// True once a Table has shown its columns.
    columns_sent: bool,
    /// The time of what is being sent, for ages in Tables.
    clock: Timestamp,
}

/// What a watch begins with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Began {
    /// The state at a revision.
    WithState(u64),
    /// The first write after a revision.
    After(u64),
}

impl Watch {
    fn covers(&self, key: &Key) -> bool {
        (self.namespace.is_empty() || key.namespace() == self.namespace)
            && (self.name.is_empty() || key.name() == self.name)
    }

    /// W8: what a write means to this watch, and the object to show.
    fn event(&self, entry: &Entry) -> Option<(EventKind, Arc<Object>)> {
        if !self.covers(&entry.key) {
            return None;
        }
        let selects = |object: &Object| selects(&self.row, &self.options, object);
        let before = entry.old.as_deref().filter(|old| selects(old));
        let after = entry.new().filter(|new| selects(new));
        match (before, after) {
            (None, None) => None,
            (None, Some(new)) => Some((EventKind::Added, new.clone())),
            (Some(_), Some(new)) => Some((EventKind::Modified, new.clone())),
            (Some(_), None) if entry.deleted => Some((EventKind::Deleted, entry.object.clone())),
            (Some(old), None) => Some((
                EventKind::Deleted,
                Arc::new(old.with_revision(entry.revision)),
            )),
        }
    }

    /// True for an object whose form in the version watched its conversion webhook did not give (L9).
    fn lacks_form(&self, object: &Object) -> bool {
        self.row.needs_webhook() && object.view(&self.row.version).is_none()
    }

    fn line(&mut self, kind: EventKind, object: &Object) -> Bytes {
        let first = !std::mem::replace(&mut self.columns_sent, true);
        answer::event(
            kind.as_str(),
            &self.row,
            object,
            &self.accept,
            first,
            self.clock,
        )
    }
}

/// Opens a watch.
pub(super) fn open(
    s: &mut Session<'_>,
    row: Arc<Resource>,
    accept: Accept,
    now: Timestamp,
) -> Result<Answer, Halt> {
    let options = ListOptions::for_watch(&s.request.query)?;
    check_fields(&row, &options.fields)?;
    let text = options.resource_version.clone();
    let asked = if text.is_empty() {
        0
    } else {
        parse_version(&text).map_err(Status::bare)?
    };
    let cached = row.facts.cached;
    let current = if cached {
        s.core.caches.revision(&s.core.store, s.server, row.id)
    } else {
        s.core.store.revision()
    };
    let id = WatchId(s.id.0);
    let deadline = match options.timeout_seconds {
        None | Some(0) => {
            let spread = crate::ids::Ids::number(s, 1_800_000_000);
            now + Duration::from_secs(1800) + Duration::from_micros(spread)
        }
        Some(seconds) => now + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    };
    // W11, W13a: over before it begins.
    let over = options.timeout_seconds.is_some_and(|seconds| seconds < 0)
        || matches!(accept.form, crate::request::media::Form::MetadataList(_));
    // Without a revision the state comes first, even where nothing was defaulted (old prefix).
    let initial =
        options.initial_events == Some(true) || (options.initial_events.is_none() && asked == 0);
    let floor = if cached {
        s.core.caches.floor(s.server, row.id)
    } else {
        s.core.store.compacted()
    };
    let mut refused = None;
    if initial && asked > current {
        if cached && !s.attempt.gave_up {
            return Err(Halt::Wait(Wait {
                resource: row.id,
                revision: asked,
                until: s.now + Duration::from_secs(3),
            }));
        }
        let retry = if cached {
            1
        } else {
            1 + crate::ids::Ids::number(s, 3) as u32
        };
        refused = Some(Status::too_large_resource_version(asked, current, retry));
    } else if !initial && asked != 0 {
        if cached && asked < floor {
            let why = format!("too old resource version: {asked} ({floor})");
            refused = Some(Status::expired(why));
        } else if !cached && asked.saturating_add(1) < floor {
            let why = "The resourceVersion for the provided watch is too old.";
            refused = Some(Status::expired(why));
        }
    }
    let info = &s.request.info;
    let position = if asked == 0 || initial {
        current
    } else {
        asked
    };
    let mut watch = Watch {
        began: match initial {
            true => Began::WithState(current),
            false => Began::After(position),
        },
        server: s.server,
        row: row.clone(),
        namespace: if row.namespaced {
            info.namespace.to_string()
        } else {
            String::new()
        },
        name: info.name.to_string(),
        position,
        bookmarked: 0,
        columns_sent: false,
        clock: now,
        deadline: Some(deadline),
        options,
        accept,
    };
    if row.namespaced && watch.namespace.is_empty() {
        let named = watch.options.fields.exact("metadata.namespace");
        watch.namespace = named.unwrap_or_default();
    }
    let forms = match refused.is_none() && !over {
        true => missing_forms(s, &watch, current)?,
        false => Forms::new(),
    };
    // The stream is open before its first event.
    let mut events: Vec<Output> = Vec::new();
    if let Some(status) = refused {
        events.push(error_event(id, &status, current, &watch.accept));
        events.push(Output::Ended { watch: id });
    } else if over {
        events.push(Output::Ended { watch: id });
    } else {
        if initial {
            initial_events(s.core, &mut watch, id, current, &forms, &mut events);
        } else {
            missed_events(s.core, &mut watch, id, current, &forms, &mut events);
        }
        s.core.add_watch(id, watch);
    }
    s.core.outputs_after_open.append(&mut events);
    Ok(Answer::Watching)
}

fn error_event(watch: WatchId, status: &Status, revision: u64, accept: &Accept) -> Output {
    Output::Event {
        watch,
        kind: EventKind::Error,
        revision,
        line: answer::event_of("ERROR", &status.to_value(), accept),
    }
}

/// Objects by revision, converted for a watch whose cache is without their form.
type Forms = BTreeMap<u64, Arc<Object>>;

/// L9: what a watch begins with and was not converted when it was written is converted now.
fn missing_forms(s: &mut Session<'_>, watch: &Watch, current: u64) -> Result<Forms, Halt> {
    if !watch.row.needs_webhook() {
        return Ok(Forms::new());
    }
    let mut missing: Vec<Arc<Object>> = match watch.began {
        Began::WithState(_) => {
            let view = s.core.store.at(watch.row.id, current);
            let shown = view.range(None, None).filter(|(key, object)| {
                watch.covers(key) && selects(&watch.row, &watch.options, object)
            });
            shown.map(|(_, object)| object.clone()).collect()
        }
        Began::After(from) => {
            let history = s.core.store.history_since(watch.row.id, from);
            let history = history.take_while(|entry| entry.revision <= current);
            let shown = history.filter_map(|entry| watch.event(entry));
            shown.map(|(_, object)| object).collect()
        }
    };
    missing.retain(|object| watch.lacks_form(object));
    conversion::fill(s, &watch.row, &mut missing)?;
    let forms = missing.into_iter();
    Ok(forms.map(|object| (object.revision(), object)).collect())
}

/// W3, W4: everything there is, then the bookmark that says so.
fn initial_events(
    core: &Core,
    watch: &mut Watch,
    id: WatchId,
    current: u64,
    forms: &Forms,
    events: &mut Vec<Output>,
) {
    let view = core.store.at(watch.row.id, current);
    for (key, object) in view.range(None, None) {
        if watch.covers(key) && selects(&watch.row, &watch.options, object) {
            let shown = forms.get(&object.revision()).unwrap_or(object);
            events.push(Output::Event {
                watch: id,
                kind: EventKind::Added,
                revision: object.revision(),
                line: watch.line(EventKind::Added, shown),
            });
        }
    }
    if watch.options.bookmarks && watch.options.initial_events == Some(true) {
        events.push(bookmark(watch, id, current, true));
        watch.bookmarked = current;
    }
}

/// W2: what happened since the revision the client knows.
fn missed_events(
    core: &Core,
    watch: &mut Watch,
    id: WatchId,
    current: u64,
    forms: &Forms,
    events: &mut Vec<Output>,
) {
    let from = watch.position;
    for entry in core.store.history_since(watch.row.id, from) {
        if entry.revision > current {
            break;
        }
        if let Some((kind, object)) = watch.event(entry) {
            events.push(Output::Event {
                watch: id,
                kind,
                revision: entry.revision,
                line: watch.line(kind, forms.get(&entry.revision).unwrap_or(&object)),
            });
        }
    }
    watch.position = watch.position.max(current);
    watch.bookmarked = from;
}

/// W10: a bookmark's object has no more than a revision (and what its type cannot leave out).
fn bookmark(watch: &mut Watch, id: WatchId, revision: u64, initial: bool) -> Output {
    let mut value = Value::object();
    if let Some(schema) = watch.row.schema
        && let Ok(empty) = crate::schema::decode(schema, Value::object())
    {
        value = empty.value;
        value.set(&["metadata"], Value::object());
    }
    value.set(&["metadata", "resourceVersion"], itoa(revision));
    if initial {
        let annotation = ["metadata", "annotations", "k8s.io/initial-events-end"];
        value.set(&annotation, "true");
    }
    let object = Object::new(value, revision);
    Output::Event {
        watch: id,
        kind: EventKind::Bookmark,
        revision,
        line: watch.line(EventKind::Bookmark, &object),
    }
}

impl Core {
    fn add_watch(&mut self, id: WatchId, watch: Watch) {
        let cache = (watch.server, watch.row.id);
        self.by_cache.entry(cache).or_default().insert(id);
        self.watch_ends.extend(watch.deadline.map(|end| (end, id)));
        self.watches.insert(id, watch);
    }

    /// Forgets a watch.
    pub(crate) fn close_watch(&mut self, id: WatchId) {
        if let Some(watch) = self.watches.remove(&id) {
            let cache = (watch.server, watch.row.id);
            if let Some(ids) = self.by_cache.get_mut(&cache) {
                ids.remove(&id);
            }
            if let Some(end) = watch.deadline {
                self.watch_ends.remove(&(end, id));
            }
        }
    }

    /// Ends every watch of a resource cleanly (L10, L11).
    pub(crate) fn end_watches(&mut self, resource: crate::registry::ResourceId) {
        let servers = 0..self.caches.servers();
        let ids = servers.filter_map(|server| self.by_cache.get(&(ServerId(server), resource)));
        let ids: BTreeSet<WatchId> = ids.flatten().copied().collect();
        for watch in ids {
            self.close_watch(watch);
            self.outputs.push(Output::Ended { watch });
        }
    }

    /// Offers a write to the watches of one cache. Equal lines are made once.
    pub(crate) fn fan_out(&mut self, server: ServerId, entry: &Arc<Entry>) {
        let Some(ids) = self.by_cache.get(&(server, entry.resource)) else {
            return;
        };
        let mut made: Vec<(Arc<Resource>, EventKind, bool, Bytes)> = Vec::new();
        let mut broken = Vec::new();
        for id in ids {
            let Some(watch) = self.watches.get_mut(id) else {
                continue;
            };
            if entry.revision <= watch.position {
                continue;
            }
            watch.position = entry.revision;
            watch.clock = entry.time;
            let Some((kind, object)) = watch.event(entry) else {
                continue;
            };
            if watch.lacks_form(&object) {
                broken.push(*id);
                continue;
            }
            let plain = watch.accept.is_plain();
            let known = made.iter().find(|(row, made_kind, deleted, _)| {
                plain
                    && Arc::ptr_eq(row, &watch.row)
                    && *made_kind == kind
                    && *deleted == entry.deleted
            });
            let line = match known {
                Some((_, _, _, line)) => line.clone(),
                None => {
                    let line = watch.line(kind, &object);
                    if plain {
                        made.push((watch.row.clone(), kind, entry.deleted, line.clone()));
                    }
                    line
                }
            };
            self.outputs.push(Output::Event {
                watch: *id,
                kind,
                revision: entry.revision,
                line,
            });
        }
        // A cache that cannot decode what it is told begins anew, and ends its watches as it does.
        for watch in broken {
            self.close_watch(watch);
            self.outputs.push(Output::Ended { watch });
        }
    }

    /// W10: whether a bookmark would tell a watch anything.
    pub(crate) fn has_bookmark(&self, watch: &Watch) -> bool {
        if !watch.options.bookmarks || !watch.row.facts.cached {
            return false;
        }
        let (server, resource) = (watch.server, watch.row.id);
        let at = self.caches.revision(&self.store, server, resource);
        at > watch.bookmarked && at >= watch.position
    }

    /// Sends a watch a bookmark, if there is anything to say.
    pub(crate) fn bookmark(&mut self, id: WatchId) {
        let wanted = |watch: &&Watch| self.has_bookmark(watch);
        let Some(watch) = self.watches.get(&id).filter(wanted) else {
            return;
        };
        let (server, resource) = (watch.server, watch.row.id);
        let at = self.caches.revision(&self.store, server, resource);
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.bookmarked = at;
            watch.position = at;
            let output = bookmark(watch, id, at, false);
            self.outputs.push(output);
        }
    }
}
