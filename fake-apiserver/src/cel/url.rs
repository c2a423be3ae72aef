//! URLs in expressions: absolute URIs or absolute paths.
//!
//! Behaviour: Kubernetes `apiserver/pkg/cel/library/urls.go` (Go's `url.ParseRequestURI`).

/// A parsed URL.
#[derive(Clone, Debug, PartialEq)]
pub struct Url {
    /// Scheme, lower case, empty for a path.
    pub scheme: String,
    /// Host with port.
    pub host: String,
    /// Path as written.
    pub path: String,
    /// Query without `?`.
    pub query: String,
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Url, String> {
        let error = |why: &str| {
            format!(
                "URL parse error during conversion from string: parse {}: {why}",
                crate::status::go_quote(text)
            )
        };
        if text.is_empty() {
            return Err(error("empty url"));
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(error("net/url: invalid control character in URL"));
        }
        let (before, query) = text.split_once('?').unwrap_or((text, ""));
        let scheme_end = before
            .find(':')
            .filter(|end| {
                *end > 0
                    && before[..*end]
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            })
            .filter(|_| before.as_bytes()[0].is_ascii_alphabetic());
        let (scheme, rest) = match scheme_end {
            Some(end) => (before[..end].to_ascii_lowercase(), &before[end + 1..]),
            None => (String::new(), before),
        };
        if !rest.starts_with('/') {
            return Err(error("invalid URI for request"));
        }
        let (host, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (&rest[..end], &rest[end..])
            }
            None => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if host.contains(' ') {
            return Err(error("invalid character \" \" in host name"));
        }
        let percent_ok = |part: &str| {
            part.split('%')
                .skip(1)
                .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
        };
        if !percent_ok(path) {
            return Err(error("invalid URL escape"));
        }
        Ok(Url {
            scheme,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }

    /// The port, empty if none.
    pub fn port(&self) -> &str {
        let after = self.host.rsplit(']').next().unwrap_or_default();
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// The host without port and brackets.
    pub fn hostname(&self) -> &str {
        let host = match self.port() {
            "" => self.host.trim_end_matches(':'),
            port => &self.host[..self.host.len() - port.len() - 1],
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The path, escaped.
    pub fn escaped_path(&self) -> String {
        let mut out = String::new();
        for c in self.path.chars() {
            if c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c) {
                out.push(c);
            } else {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        out
    }

    /// The query's keys with their values, sorted by key.
    pub fn query_values(&self) -> std::collections::BTreeMap<String, Vec<String>> {
        let mut values: std::collections::BTreeMap<String, Vec<String>> = Default::default();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            values
                .entry(unescape(key))
                .or_default()
                .push(unescape(value));
        }
        values
    }
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' if at + 2 < bytes.len() => match (hex(bytes[at + 1]), hex(bytes[at + 2])) {
                (Some(high), Some(low)) => {
                    out.push(high * 16 + low);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
