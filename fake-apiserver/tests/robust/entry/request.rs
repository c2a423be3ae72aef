//! Requests: a story of them against one cluster.

use super::cluster::Cluster;
use super::{first_line, sections};

/// Sends the sections of the input as requests and demands proper answers, equal ones from an equal cluster.
///
/// A section is `METHOD TARGET`, then `name: value` lines, a blank line, and the body. The last body is also what webhooks
/// answer. After each request the cluster settles.
pub(crate) fn request(bytes: &[u8]) {
    let first = play(bytes);
    let again = play(bytes);
    assert!(first == again, "equal requests get equal bytes");
}

fn play(bytes: &[u8]) -> Vec<u8> {
    let mut cluster = Cluster::new();
    let stories = sections(bytes);
    if let Some(last) = stories.last() {
        cluster.webhook = bytes::Bytes::copy_from_slice(split(last).2);
    }
    for section in stories.into_iter().take(16) {
        let (line, headers, body) = split(section);
        let (method, target) = line.split_once(' ').unwrap_or(("GET", &line));
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .filter_map(|line| line.split_once(": "))
            .collect();
        cluster.call(method, target, &headers, body);
        cluster.settle();
    }
    cluster.heard
}

fn split(section: &[u8]) -> (String, Vec<String>, &[u8]) {
    let (line, mut rest) = first_line(section);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers = Vec::new();
    loop {
        let (header, body) = first_line(rest);
        if header.is_empty() {
            return (text(line), headers, body);
        }
        headers.push(text(header));
        rest = body;
    }
}
