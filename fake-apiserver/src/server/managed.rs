//! Where field management stands in a write's way; its rules are owned by `apply`.

use super::{Halt, Session, conversion};
use crate::apply::{self, Ignored, Tracking};
use crate::json::{CompactString, Value};
use crate::registry::{Registry, Resource, split_api_version};
use crate::schema::Schema;
use crate::status::Status;
use crate::time::Timestamp;

/// Records who set which fields of a non-apply write (F8). `live` is the object before, `None` for a creation.
pub(super) fn track(
    s: &mut Session<'_>,
    row: &Resource,
    subresource: &str,
    live: Option<&Value>,
    object: &mut Value,
    manager: &str,
) -> Result<(), Halt> {
    let converted = match live {
        Some(live) if row.custom.as_ref().is_some_and(|custom| custom.webhook) => {
            match converted(s, row, live, object) {
                Ok(converted) => converted,
                // What cannot be converted cannot be tracked (F12).
                Err(Halt::Failed(_)) => {
                    object.remove(&["metadata", "managedFields"]);
                    return Ok(());
                }
                Err(halt) => return Err(halt),
            }
        }
        _ => Vec::new(),
    };
    let registry = &s.core.registry;
    let who = (subresource, manager);
    with_tracking(registry, s.now, row, who, &converted, |tracking| {
        apply::track(tracking, live, object);
    });
    Ok(())
}

/// The object before and after in the other versions that its entries were made in.
fn converted(
    s: &mut Session<'_>,
    row: &Resource,
    live: &Value,
    object: &Value,
) -> Result<Vec<(CompactString, [Value; 2])>, Halt> {
    let own = row.api_version();
    let mut out: Vec<(CompactString, [Value; 2])> = Vec::new();
    for entry in live.array_at(&["metadata", "managedFields"]) {
        let version = entry.str_at(&["apiVersion"]);
        if version == own || out.iter().any(|(known, _)| known == version) {
            continue;
        }
        let (group, name) = split_api_version(version);
        let other = s.core.registry.find(group, name, &row.plural).cloned();
        if let Some(other) = other.filter(|other| other.id == row.id) {
            let old = conversion::to_version(s, &other, live)?;
            let new = conversion::to_version(s, &other, object)?;
            out.push((version.into(), [old, new]));
        }
    }
    Ok(out)
}

/// The same for a write of a controller inside the cluster.
pub(super) fn track_actor(
    registry: &Registry,
    now: Timestamp,
    row: &Resource,
    subresource: &str,
    live: &Value,
    object: &mut Value,
    manager: &str,
) {
    with_tracking(
        registry,
        now,
        row,
        (subresource, manager),
        &[],
        |tracking| {
            apply::track(tracking, Some(live), object);
        },
    );
}

/// Applies a configuration to the live object, or to none (F2).
pub(super) fn apply(
    s: &Session<'_>,
    row: &Resource,
    subresource: &str,
    live: Option<&Value>,
    applied: &Value,
    manager: &str,
    force: bool,
) -> Result<Value, Status> {
    let registry = &s.core.registry;
    let who = (subresource, manager);
    with_tracking(registry, s.now, row, who, &[], |tracking| {
        apply::apply(tracking, live, applied, force)
    })
}

/// AD6: managedFields that admission spoilt are those from before, with a warning.
pub(super) fn check_admitted(s: &mut Session<'_>, before: Option<Value>, object: &mut Value) {
    let path = ["metadata", "managedFields"];
    let Some(why) = object.at(&path).and_then(apply::invalid_entries) else {
        return;
    };
    match before {
        Some(before) => object.set(&path, before),
        None => drop(object.remove(&path)),
    }
    s.warn(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: {why}"
    ));
}

/// [`track`] for a Scale, whose managedFields stand in the live one.
pub(super) fn track_scale(
    s: &Session<'_>,
    schema: &Schema,
    live: &Value,
    scale: &mut Value,
    manager: &str,
) {
    apply::track(&scale_tracking(s, schema, manager), Some(live), scale);
}

/// [`apply`] for a Scale.
pub(super) fn apply_scale(
    s: &Session<'_>,
    schema: &Schema,
    live: &Value,
    applied: &Value,
    manager: &str,
    force: bool,
) -> Result<Value, Status> {
    apply::apply(
        &scale_tracking(s, schema, manager),
        Some(live),
        applied,
        force,
    )
}

/// [`track`] for the creation of an object of another kind than the row's.
pub(super) fn track_created(
    s: &Session<'_>,
    schema: &Schema,
    api_version: &str,
    subresource: &str,
    object: &mut Value,
    manager: &str,
) {
    let tracking = Tracking {
        schema,
        api_version,
        subresource,
        manager,
        now: s.now,
        ignored: Ignored::Nothing,
        by_webhook: false,
        converted: &[],
        other_version: &|_| None,
    };
    apply::track(&tracking, None, object);
}

fn scale_tracking<'a>(s: &Session<'_>, schema: &'a Schema, manager: &'a str) -> Tracking<'a> {
    Tracking {
        schema,
        api_version: apply::SCALE_VERSION,
        subresource: "scale",
        manager,
        now: s.now,
        ignored: Ignored::Nothing,
        by_webhook: false,
        converted: &[],
        other_version: &|_| None,
    }
}

fn with_tracking<T>(
    registry: &Registry,
    now: Timestamp,
    row: &Resource,
    (subresource, manager): (&str, &str),
    converted: &[(CompactString, [Value; 2])],
    call: impl FnOnce(&Tracking<'_>) -> T,
) -> T {
    let ignored = if row.is_custom() {
        Ignored::custom(subresource, row.has_status())
    } else {
        Ignored::builtin(&row.group, &row.plural, subresource)
    };
    call(&Tracking {
        schema: schema_of(row),
        api_version: row.api_version(),
        subresource,
        manager,
        now,
        ignored,
        by_webhook: row.custom.as_ref().is_some_and(|custom| custom.webhook),
        converted,
        other_version: &|api_version| other_version(registry, row, api_version),
    })
}

/// The schema of a row's objects.
pub(crate) fn schema_of(row: &Resource) -> &Schema {
    static FREE: std::sync::LazyLock<Schema> =
        std::sync::LazyLock::new(|| crate::schema::build(&Value::object()));
    match (row.schema, &row.custom) {
        (Some(schema), _) => schema,
        (None, Some(custom)) => &custom.schema,
        (None, None) => &FREE,
    }
}

/// The schema of the same objects in another version. Built-in versions are taken for alike: their few differences (HPA)
/// do not move ownership.
fn other_version<'a>(
    registry: &'a Registry,
    row: &'a Resource,
    api_version: &str,
) -> Option<&'a Schema> {
    let (group, version) = split_api_version(api_version);
    let other = registry.find(group, version, &row.plural)?;
    if other.id != row.id {
        return None;
    }
    Some(if row.is_custom() {
        schema_of(other)
    } else {
        schema_of(row)
    })
}
