//! A store of resources, as a cloud's API.
//!
//! A name is taken until its resource is gone: a second `POST` of it is 409, unless it carries the idempotency key of the
//! first, which gives the first one's answer. `PUT` of what is there already changes nothing. A deleted resource is
//! `deleting` until its cleanup is over; deleting it again is no error and no effect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answered, Asked, Service};
use crate::event::{Effect, EffectKind};
use crate::time::{DurationRange, SimTime};

pub(super) struct Cloud {
    cleanup: DurationRange,
    limit: Option<u32>,
    /// By collection and name.
    resources: BTreeMap<(String, String), Resource>,
    /// What each idempotency key made.
    keys: BTreeMap<String, (String, String)>,
    made: u64,
}

struct Resource {
    id: String,
    body: Value,
    /// Whether its maker named it.
    named: bool,
    gone_at: Option<SimTime>,
}

impl Resource {
    fn show(&self, name: &str) -> Value {
        let state = if self.gone_at.is_some() {
            "deleting"
        } else {
            "ready"
        };
        json!({"id": self.id, "name": name, "state": state, "spec": self.body})
    }
}

/// How effects name a resource: names that the service gave differ from run to run.
fn object(collection: &str, name: &str, named: bool) -> String {
    format!("{collection}/{}", if named { name } else { "*" })
}

impl Cloud {
    pub(super) fn new(cleanup: DurationRange, limit: Option<u32>) -> Cloud {
        Cloud {
            cleanup,
            limit,
            resources: BTreeMap::new(),
            keys: BTreeMap::new(),
            made: 0,
        }
    }

    fn create(&mut self, asked: &Asked<'_>, collection: &str, name: Option<&str>) -> Answered {
        if let Some(place) = asked.key.and_then(|key| self.keys.get(key)) {
            return match self.resources.get(place) {
                Some(resource) => Answered::new(200, resource.show(&place.1)),
                None => Answered::refused(410, "what this key made is gone"),
            };
        }
        if self
            .limit
            .is_some_and(|limit| self.resources.len() >= limit as usize)
        {
            return Answered::refused(403, "quota exceeded");
        }
        self.made += 1;
        let id = format!("{collection}-{}", self.made);
        let named = name.is_some();
        let name = name.map_or_else(|| id.clone(), str::to_owned);
        let place = (collection.to_owned(), name);
        if self.resources.contains_key(&place) {
            return Answered::refused(409, "already exists");
        }
        let resource = Resource {
            id,
            body: asked.body.clone(),
            named,
            gone_at: None,
        };
        let shown = resource.show(&place.1);
        let what = object(collection, &place.1, named);
        if let Some(key) = asked.key {
            self.keys.insert(key.to_owned(), place.clone());
        }
        self.resources.insert(place, resource);
        Answered::new(201, shown).with(asked.effect(EffectKind::Created, what))
    }

    fn put(&mut self, asked: &Asked<'_>, collection: &str, name: &str) -> Answered {
        let place = (collection.to_owned(), name.to_owned());
        match self.resources.get_mut(&place) {
            None => self.create(asked, collection, Some(name)),
            Some(resource) if resource.gone_at.is_some() => {
                Answered::refused(409, "it is being deleted")
            }
            Some(resource) if resource.body == asked.body => {
                Answered::new(200, resource.show(name))
            }
            Some(resource) => {
                resource.body = asked.body.clone();
                let what = object(collection, name, resource.named);
                Answered::new(200, resource.show(name))
                    .with(asked.effect(EffectKind::Changed, what))
            }
        }
    }

    fn delete(&mut self, asked: &mut Asked<'_>, collection: &str, name: &str) -> Answered {
        let place = (collection.to_owned(), name.to_owned());
        let Some(resource) = self.resources.get_mut(&place) else {
            return not_found();
        };
        if resource.gone_at.is_some() {
            return Answered::new(202, resource.show(name));
        }
        let effect = asked.effect(
            EffectKind::Deleted,
            object(collection, name, resource.named),
        );
        let takes_us = (asked.draw)("cleanup", self.cleanup);
        if takes_us == 0 {
            self.resources.remove(&place);
            return Answered::new(200, json!({})).with(effect);
        }
        resource.gone_at = Some(SimTime(asked.now.0 + takes_us));
        Answered::new(202, resource.show(name)).with(effect)
    }

    fn list(&self, collection: &str) -> Value {
        let of = self.resources.iter().filter(|((c, _), _)| c == collection);
        let items: Vec<Value> = of.map(|((_, name), one)| one.show(name)).collect();
        json!({"items": items})
    }
}

fn not_found() -> Answered {
    Answered::refused(404, "not found")
}

impl Service for Cloud {
    fn ask(&mut self, mut asked: Asked<'_>) -> Answered {
        let parts: Vec<String> = asked.parts().into_iter().map(str::to_owned).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("POST", [_]) | ("PUT", [_, _]) if !asked.is_json => {
                Answered::refused(400, "the body is not JSON")
            }
            ("POST", [collection]) => {
                let name = asked.body["name"].as_str().map(str::to_owned);
                self.create(&asked, collection, name.as_deref())
            }
            ("PUT", [collection, name]) => self.put(&asked, collection, name),
            ("DELETE", [collection, name]) => self.delete(&mut asked, collection, name),
            ("GET", [collection]) => Answered::new(200, self.list(collection)),
            ("GET", [collection, name]) => {
                let place = ((*collection).to_owned(), (*name).to_owned());
                let found = self.resources.get(&place);
                found.map_or_else(not_found, |one| Answered::new(200, one.show(name)))
            }
            _ => Answered::refused(405, "use POST, GET /C, and PUT, GET, DELETE /C/NAME"),
        }
    }

    fn due(&self) -> Option<SimTime> {
        self.resources.values().filter_map(|one| one.gone_at).min()
    }

    fn work(&mut self, now: SimTime) -> Vec<Effect> {
        let mut gone = Vec::new();
        self.resources.retain(|(collection, name), resource| {
            let over = resource.gone_at.is_some_and(|at| at <= now);
            if over {
                gone.push(Effect {
                    kind: EffectKind::CleanedUp,
                    object: object(collection, name, resource.named),
                    key: None,
                });
            }
            !over
        });
        gone
    }
}
