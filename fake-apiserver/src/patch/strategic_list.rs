//! Strategic merge patch (E4): lists, merged by key or as sets of scalars, and the order that comes out.
//!
//! Elements are found through an index of their keys, so long lists cost no quadratic time.

use std::collections::{BTreeMap, BTreeSet};

use super::strategic::{
    PATCH, bad_patch_type, has_strategy, merge_maps, mixed_elements, no_merge_key, order_mismatch,
    without_directives,
};
use crate::json::{self, Value};
use crate::schema::{Field, Schema};
use crate::status::Status;

/// How a list merges.
pub(crate) struct List<'s> {
    merges: bool,
    key: &'s str,
    items: Option<&'s Schema>,
}

/// An element's place in comparisons: its merge key's value, or itself.
type Place = String;

impl<'s> List<'s> {
    /// The facts of a list field.
    pub(crate) fn of(schema: Option<&'s Schema>, field: Option<&'s Field>) -> List<'s> {
        let strategy = field
            .and_then(|field| field.patch_strategy())
            .unwrap_or_default();
        List {
            merges: has_strategy(strategy, "merge"),
            key: field
                .and_then(|field| field.patch_merge_key())
                .unwrap_or_default(),
            items: schema.and_then(Schema::items),
        }
    }

    /// Merges a patch list into a live one, or replaces it.
    pub(crate) fn merge(&self, live: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, Status> {
        if !self.merges {
            return Ok(patch);
        }
        if live.is_empty() && patch.is_empty() {
            return Ok(live);
        }
        if !of_maps(&[&live, &patch])? {
            let mut seen = BTreeSet::new();
            let order: Vec<Place> = live.iter().map(json::to_string).collect();
            let wanted: Vec<Place> = patch.iter().map(json::to_string).collect();
            let merged: Vec<Value> = live
                .into_iter()
                .chain(patch)
                .filter(|item| seen.insert(json::to_string(item)))
                .collect();
            return Ok(arrange(merged, json::to_string, &wanted, &order));
        }
        if self.key.is_empty() {
            return Err(Status::bare("cannot merge lists without merge key"));
        }
        let (mut merged, patch) = self.special(live, patch)?;
        let order = self.places(&merged)?;
        let wanted = self.places(&patch)?;
        let mut index: BTreeMap<Place, usize> = BTreeMap::new();
        for (at, place) in order.iter().enumerate() {
            index.entry(place.clone()).or_insert(at);
        }
        for (place, element) in wanted.iter().zip(patch) {
            match index.get(place) {
                Some(&at) => {
                    let (Value::Object(ours), Value::Object(theirs)) = (merged[at].take(), element)
                    else {
                        return Err(mixed_elements());
                    };
                    merged[at] = Value::Object(merge_maps(self.items, ours, theirs)?);
                }
                None => {
                    index.insert(place.clone(), merged.len());
                    merged.push(element);
                }
            }
        }
        // A merge may have changed or removed the key of an element.
        self.places(&merged)?;
        Ok(arrange(
            merged,
            |element| place_of(element, self.key),
            &wanted,
            &order,
        ))
    }

    /// Merges and then puts the elements that `$setElementOrder` lists in its order.
    pub(crate) fn merge_in_order(
        &self,
        live: Option<Vec<Value>>,
        patch: Option<Vec<Value>>,
        order: Vec<Value>,
    ) -> Result<Vec<Value>, Status> {
        let place = |element: &Value| match self.key {
            "" => json::to_string(element),
            key => place_of(element, key),
        };
        self.check_order(patch.as_deref().unwrap_or_default(), &order)?;
        of_maps(&[
            live.as_deref().unwrap_or_default(),
            patch.as_deref().unwrap_or_default(),
        ])?;
        let live_order: Vec<Place> = live.iter().flatten().map(place).collect();
        let merged = match (live, patch) {
            (Some(live), Some(patch)) => self.merge(live, patch)?,
            (Some(live), None) => live,
            (None, patch) => match without_directives(Value::Array(patch.unwrap_or_default())) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
        };
        if !self.key.is_empty() {
            self.places(&merged)?;
            if let Some(at) = order.iter().position(|element| !element.is_object()) {
                return Err(Status::bare(format!("value for key {at} is not a map")));
            }
        }
        let wanted: Vec<Place> = order.iter().map(place).collect();
        Ok(arrange(merged, place, &wanted, &live_order))
    }

    /// The live list without the scalars listed; a list that does not merge stays as it is.
    pub(crate) fn without(&self, live: Vec<Value>, gone: Vec<Value>) -> Result<Vec<Value>, Status> {
        if !self.merges {
            // The server hands the listed values back in this case: the list is replaced.
            return Ok(gone);
        }
        if live.is_empty() && gone.is_empty() {
            return Ok(live);
        }
        if of_maps(&[&live, &gone])? {
            return self.merge(live, gone);
        }
        let gone: BTreeSet<String> = gone.iter().map(json::to_string).collect();
        Ok(live
            .into_iter()
            .filter(|item| !gone.contains(&json::to_string(item)))
            .collect())
    }

    /// Handles `$patch` in elements: the live list after deletions, and the patch without them.
    fn special(
        &self,
        live: Vec<Value>,
        patch: Vec<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), Status> {
        let mut plain = Vec::with_capacity(patch.len());
        let mut deleted: BTreeSet<Place> = BTreeSet::new();
        let mut replace = false;
        for element in patch {
            let Value::Object(map) = &element else {
                return Err(mixed_elements());
            };
            match map.get(PATCH).map(|directive| directive.as_str()) {
                None => plain.push(element),
                Some(Some("delete")) => match map.get(self.key) {
                    Some(_) => {
                        deleted.insert(place_of(&element, self.key));
                    }
                    None => return Err(no_merge_key(&element, self.key)),
                },
                Some(Some("replace")) => replace = true,
                Some(Some("merge")) => {
                    return Err(Status::bare(
                        "merging lists cannot yet be specified in the patch",
                    ));
                }
                Some(_) => return Err(bad_patch_type(map)),
            }
        }
        if replace {
            return Ok((plain, Vec::new()));
        }
        let live = live
            .into_iter()
            .filter(|element| {
                deleted.is_empty()
                    || element.get(self.key).is_none()
                    || !deleted.contains(&place_of(element, self.key))
            })
            .collect();
        Ok((live, plain))
    }

    fn places(&self, elements: &[Value]) -> Result<Vec<Place>, Status> {
        elements
            .iter()
            .map(|element| match element.get(self.key) {
                Some(_) => Ok(place_of(element, self.key)),
                None => Err(no_merge_key(element, self.key)),
            })
            .collect()
    }

    /// The patch list must follow the order it asks for.
    fn check_order(&self, patch: &[Value], order: &[Value]) -> Result<(), Status> {
        if patch.is_empty() || order.is_empty() {
            return Ok(());
        }
        let mut listed = order.iter();
        for element in patch.iter().filter(|element| element.get(PATCH).is_none()) {
            loop {
                let Some(next) = listed.next() else {
                    return Err(order_mismatch(patch, order));
                };
                let equal = match self.key {
                    "" => next == element,
                    key => {
                        let wanted = element.get(key).ok_or_else(|| no_merge_key(element, key))?;
                        let there = next.get(key).ok_or_else(|| no_merge_key(next, key))?;
                        wanted == there
                    }
                };
                if equal {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn place_of(element: &Value, key: &str) -> Place {
    element.get(key).map(json::to_string).unwrap_or_default()
}

/// True if the elements are objects; all must be of one kind, and none a list.
fn of_maps(lists: &[&[Value]]) -> Result<bool, Status> {
    let mut kind = None;
    for element in lists.iter().copied().flatten() {
        if element.is_array() {
            return Err(Status::bare("lists of lists are not supported"));
        }
        let this = element.type_name();
        if *kind.get_or_insert(this) != this {
            return Err(mixed_elements());
        }
    }
    match kind {
        Some(kind) => Ok(kind == "object"),
        None => Err(Status::bare("no elements in any of the given slices")),
    }
}

/// Arranges merged elements: those wanted in the wanted order, the others in live order, interleaved by live order.
fn arrange(
    merged: Vec<Value>,
    place: impl Fn(&Value) -> Place,
    wanted: &[Place],
    live: &[Place],
) -> Vec<Value> {
    let first = |places: &[Place]| -> BTreeMap<Place, usize> {
        let mut index = BTreeMap::new();
        for (at, place) in places.iter().enumerate() {
            index.entry(place.clone()).or_insert(at);
        }
        index
    };
    let (wanted, live) = (first(wanted), first(live));
    let mut listed: Vec<(usize, Option<usize>, Value)> = Vec::new();
    let mut others: Vec<(usize, Option<usize>, Value)> = Vec::new();
    for element in merged {
        let place = place(&element);
        let lived = live.get(&place).copied();
        match wanted.get(&place) {
            Some(&at) => listed.push((at, lived, element)),
            None => others.push((lived.unwrap_or(usize::MAX), lived, element)),
        }
    }
    listed.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(at, ..)| *at);
    let mut out = Vec::with_capacity(listed.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, lived, element) in listed {
        while let Some((_, other, _)) = others.peek() {
            match (*other, lived) {
                (Some(other), Some(lived)) if other < lived => {
                    out.extend(others.next().map(|(.., element)| element));
                }
                _ => break,
            }
        }
        out.push(element);
    }
    out.extend(others.map(|(.., element)| element));
    out
}
