//! Semantic versions in expressions.
//!
//! Behaviour: blang/semver as Kubernetes' `semver` library uses it.

use std::cmp::Ordering;

/// A version.
#[derive(Clone, Debug, PartialEq)]
pub struct Semver {
    /// Major, minor, patch.
    pub numbers: [u64; 3],
    pre: Vec<String>,
}

impl Semver {
    /// Reads `1.2.3-pre+build`; with `normalize` also `v1`, `01.2`.
    pub fn parse(text: &str, normalize: bool) -> Option<Semver> {
        let owned;
        let mut rest = text;
        if normalize {
            rest = rest.strip_prefix('v').unwrap_or(rest);
            let end = rest.find(['-', '+']).unwrap_or(rest.len());
            let (core, tail) = rest.split_at(end);
            let mut parts: Vec<String> = core
                .split('.')
                .map(|part| {
                    let trimmed = part.trim_start_matches('0');
                    if trimmed.is_empty() && !part.is_empty() {
                        "0".to_owned()
                    } else {
                        trimmed.to_owned()
                    }
                })
                .collect();
            while parts.len() < 3 {
                parts.push("0".to_owned());
            }
            owned = format!("{}{tail}", parts.join("."));
            rest = &owned;
        }
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (core, pre) = match rest.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (rest, None),
        };
        let mut numbers = [0; 3];
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() != 3 {
            return None;
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = numeric(part)?;
        }
        let pre: Vec<String> = pre.map_or(Vec::new(), |pre| {
            pre.split('.').map(str::to_owned).collect()
        });
        let identifier = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !pre
            .iter()
            .all(|part| identifier(part) && (!digits(part) || numeric(part).is_some()))
        {
            return None;
        }
        if build.is_some_and(|build| !build.split('.').all(identifier)) {
            return None;
        }
        Some(Semver { numbers, pre })
    }
}

fn numeric(part: &str) -> Option<u64> {
    if part.is_empty()
        || !part.bytes().all(|b| b.is_ascii_digit())
        || (part.len() > 1 && part.starts_with('0'))
    {
        return None;
    }
    part.parse().ok()
}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Semver) -> Option<Ordering> {
        let order = self.numbers.cmp(&other.numbers);
        if order != Ordering::Equal {
            return Some(order);
        }
        match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => return Some(Ordering::Equal),
            (true, false) => return Some(Ordering::Greater),
            (false, true) => return Some(Ordering::Less),
            (false, false) => {}
        }
        for (a, b) in self.pre.iter().zip(&other.pre) {
            let order = match (numeric(a), numeric(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            };
            if order != Ordering::Equal {
                return Some(order);
            }
        }
        Some(self.pre.len().cmp(&other.pre.len()))
    }
}
