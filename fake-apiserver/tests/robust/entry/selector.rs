//! Label and field selectors.

use fake_apiserver::json::{self, Value};
use fake_apiserver::request::selector::{FieldSelector, LabelSelector};

use super::cluster::Cluster;
use super::sections;

/// Parses and matches selectors. Sections: a label selector, another one, a field selector.
///
/// Both label selectors joined by a comma must select what both select, and a list through the server must be what the
/// selector selects.
pub(crate) fn selector(bytes: &[u8]) {
    let parts = sections(bytes);
    let text = |at: usize| {
        parts
            .get(at)
            .map(|part| String::from_utf8_lossy(part).into_owned())
    };
    let (first, second) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
    let fields = text(2).unwrap_or_default();
    let objects = objects(&[&first, &second]);
    if let (Ok(a), Ok(b)) = (LabelSelector::parse(&first), LabelSelector::parse(&second)) {
        assert_eq!(LabelSelector::parse(&first).as_ref(), Ok(&a));
        let open = |text: &str| text.trim().is_empty() || text.trim_end().ends_with(',');
        if !open(&first) && !open(&second) {
            let both = LabelSelector::parse(&format!("{first},{second}"));
            let both = both.expect("two selectors joined are one");
            for object in &objects {
                assert_eq!(
                    both.matches(object),
                    a.matches(object) && b.matches(object),
                    "{first} and {second} on {object}"
                );
            }
        }
    }
    if let Ok(selector) = FieldSelector::parse(&fields) {
        for field in selector.fields() {
            selector.exact(field);
        }
        selector.matches(|field| (field == "metadata.name").then_some("one"));
    }
    listed(&first, &fields);
}

/// Objects whose labels are made of the words in some texts.
fn objects(texts: &[&str]) -> Vec<Value> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    let words: Vec<&str> = texts
        .iter()
        .flat_map(|text| text.split(word))
        .filter(|word| !word.is_empty())
        .take(8)
        .collect();
    let mut objects = vec![json::parse(b"{}").expect("JSON")];
    for key in &words {
        for value in &words {
            let mut object = Value::object();
            object.set(&["metadata", "labels", key], *value);
            objects.push(object);
        }
    }
    objects
}

fn listed(labels: &str, fields: &str) {
    let mut cluster = Cluster::new();
    let escape =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let path = "/api/v1/namespaces/default/configmaps";
    let target = format!(
        "{path}?labelSelector={}&fieldSelector={}",
        escape(labels),
        escape(fields)
    );
    let answer = cluster.call("GET", &target, &[], b"");
    match answer.status().as_u16() {
        200 => {
            let list = json::parse(answer.body()).expect("a list is JSON");
            let selector = LabelSelector::parse(labels).expect("the server took it");
            for item in list.array_at(&["items"]) {
                assert!(selector.matches(item), "{labels} on {item}");
            }
        }
        400 => {}
        other => panic!("{other} for selectors {labels} and {fields}"),
    }
}
