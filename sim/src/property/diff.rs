//! Which fields two versions of an object differ in.
//!
//! Lists are compared whole: which entry of one list is which of another is the schema's affair.

use std::cmp::Ordering;

use fake_apiserver::json::Value;

/// The fields that differ, as JSON pointers in order; without what the server writes on every change.
pub(crate) fn changed_fields(old: &Value, new: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    collect(old, new, &mut String::new(), &mut fields);
    fields
}

fn collect(old: &Value, new: &Value, path: &mut String, fields: &mut Vec<String>) {
    if matches!(
        path.as_str(),
        "/metadata/resourceVersion" | "/metadata/managedFields"
    ) {
        return;
    }
    let (Some(before), Some(after)) = (old.as_object(), new.as_object()) else {
        if old != new {
            fields.push(path.clone());
        }
        return;
    };
    let (mut left, mut right) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // Most fields are leaves that stay; those need no path.
            (Some((one, old)), Some((two, new)))
                if one == two && !old.is_object() && old == new =>
            {
                left.next();
                right.next();
                continue;
            }
            (Some((one, _)), Some((two, _))) => one.cmp(two),
        };
        let old = order.is_le().then(|| left.next()).flatten();
        let new = order.is_ge().then(|| right.next()).flatten();
        let key = old.or(new).map_or("", |(key, _)| key);
        let length = path.len();
        path.push('/');
        if key.contains(['~', '/']) {
            path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        } else {
            path.push_str(key);
        }
        match (old.map(|(_, old)| old), new.map(|(_, new)| new)) {
            (Some(old), Some(new)) => collect(old, new, path, fields),
            _ if path == "/metadata/managedFields" => {}
            // What came or went as a whole is its leaves: a sibling that another writer adds is not the same field.
            (Some(old), None) if has_fields(old) => collect(old, &Value::object(), path, fields),
            (None, Some(new)) if has_fields(new) => collect(&Value::object(), new, path, fields),
            _ => fields.push(path.clone()),
        }
        path.truncate(length);
    }
}

fn has_fields(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
}

#[cfg(test)]
mod tests {
    use fake_apiserver::json;

    use super::*;

    #[test]
    fn fields_are_named_by_pointer() {
        let old = json!({"metadata": {"resourceVersion": "1", "labels": {"a/b": "1"}}, "spec": {"n": 1, "l": [1]}});
        let new = json!({"metadata": {"resourceVersion": "2", "labels": {"a/b": "2"}}, "spec": {"l": [2]}, "x": 1});
        assert_eq!(
            changed_fields(&old, &new),
            ["/metadata/labels/a~1b", "/spec/l", "/spec/n", "/x"]
        );
    }

    #[test]
    fn what_comes_as_a_whole_is_its_leaves() {
        let old = json!({"spec": {}, "gone": {"a": 1}});
        let new = json!({"spec": {}, "status": {"size": 1, "conditions": [], "empty": {}}});
        assert_eq!(
            changed_fields(&old, &new),
            [
                "/gone/a",
                "/status/conditions",
                "/status/empty",
                "/status/size"
            ]
        );
    }
}
