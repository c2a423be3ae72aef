//! Merging an apply configuration without owning it: what a MutatingAdmissionPolicy's expression gives (AD7a).
//!
//! Owns the checks before the merge. The merge itself is that of apply; nobody owns what it sets.
//! Source: apiserver `pkg/admission/plugin/policy/mutating/patch/smd.go`.

use super::field_set::{field_key, print_element};
use super::shape::Shape;
use super::typed;
use crate::json::Value;
use crate::schema::Schema;

/// Merges a configuration into an object; the error says why it is none. Its kind and version are the object's.
pub(crate) fn merge_configuration(
    schema: &Schema,
    live: &mut Value,
    mut configuration: Value,
) -> Result<(), String> {
    for field in ["apiVersion", "kind"] {
        configuration.remove(&[field]);
    }
    let shape = Shape::of(schema);
    let errors = typed::validate(shape, &configuration);
    if !errors.is_empty() {
        let errors = typed::error_text(&errors);
        return Err(format!(
            "failed to convert patch object to typed object: {errors}"
        ));
    }
    let mut atomics = Vec::new();
    find_atomics(shape, &configuration, &mut String::new(), &mut atomics);
    if !atomics.is_empty() {
        let atomics = atomics.join(", ");
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomics}"
        ));
    }
    typed::merge(shape, live, &configuration);
    Ok(())
}

/// What is one piece would lose whatever the configuration does not say. Entries of maps are not looked into.
fn find_atomics(shape: Shape<'_>, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(map) if !shape.is_scalar() && !shape.is_list() => {
            if !shape.is_granular_map() {
                found.push(path.clone());
            }
            for (name, item) in map.iter().filter(|(name, _)| shape.has_field(name)) {
                print_element(&field_key(name), path);
                find_atomics(shape.child(name), item, path, found);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let list = shape.list();
            if list.is_atomic() {
                found.push(path.clone());
            }
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                find_atomics(list.items, item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::schema::Schemas;

    fn check(kind: &str, live: Value, configuration: Value, want: Result<Value, &str>) {
        let schema = Schemas::builtin().named(kind).expect("a built-in kind");
        let mut object = live;
        let got = merge_configuration(schema, &mut object, configuration).map(|()| object);
        assert_eq!(got, want.map_err(str::to_owned));
    }

    #[test]
    fn ad7a_configurations_merge_by_schema() {
        let deployment = "io.k8s.api.apps.v1.Deployment";
        let containers =
            |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
        check(
            deployment,
            containers(json!([{"name": "a", "image": "x"}])),
            containers(json!([{"name": "b", "image": "y"}, {"name": "a", "tty": true}])),
            Ok(containers(
                json!([{"name": "b", "image": "y"}, {"name": "a", "image": "x", "tty": true}]),
            )),
        );
        check(
            deployment,
            json!({}),
            json!({"spec": {"selector": {"matchLabels": {"l": "v"}}}}),
            Err(
                "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector",
            ),
        );
        check(
            deployment,
            json!({}),
            containers(json!([{"name": "a", "args": ["x"]}])),
            Err(
                "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].args",
            ),
        );
        check(
            deployment,
            json!({}),
            json!({"spec": {"replicasx": 1}}),
            Err(
                "failed to convert patch object to typed object: .spec.replicasx: field not declared in schema",
            ),
        );
    }
}
