//! Kubernetes' own functions: quantities, versions, URLs, addresses, named formats,
//! the authorizer.
//!
//! Behaviour: Kubernetes `apiserver/pkg/cel/library`.

use super::eval::{Failure, Run, failure};
use super::functions::no_overload;
use super::net::{Cidr, Ip};
use super::quantity::Quantity;
use super::semver::Semver;
use super::url::Url;
use super::value::{Check, Dict, Opaque, Text, Val};
use super::{formats, times};
use std::cmp::Ordering;
use std::rc::Rc;

type Out<'v> = Result<Val<'v>, Failure>;

/// Calls a function of a library.
pub(super) fn call<'v>(run: &mut Run<'_, 'v>, name: &'static str, args: &[Val<'v>]) -> Out<'v> {
    match args {
        [Val::Opaque(target), rest @ ..] => match (&**target, rest) {
            (Opaque::Quantity(quantity), rest) => quantities(name, *quantity, rest),
            (Opaque::Semver(version), rest) => versions(name, version, rest),
            (Opaque::Url(url), []) => urls(name, url),
            (Opaque::Ip(ip), []) => addresses(name, ip),
            (Opaque::Cidr(cidr), rest) => blocks(name, cidr, rest),
            (Opaque::Format(format), [Val::String(text)]) if name == "validate" => {
                let problems = formats::validate(format, text);
                if problems.is_empty() {
                    return Ok(Val::Optional(None));
                }
                Ok(Val::some(Val::list(
                    problems.into_iter().map(Val::text).collect(),
                )))
            }
            (Opaque::Check(check), rest) => authorizer(run, name, check, rest),
            _ => no_overload(),
        },
        [Val::String(text), rest @ ..] => constructors(name, text, rest),
        [Val::Int(count)] if name == "lists.range" => {
            Ok(Val::list((0..(*count).max(0)).map(Val::Int).collect()))
        }
        [] => match name.strip_prefix("format.").and_then(formats::named) {
            Some(format) => Ok(Val::opaque(Opaque::Format(format))),
            None => no_overload(),
        },
        _ => no_overload(),
    }
}

fn constructors<'v>(name: &str, text: &Text<'v>, rest: &[Val<'v>]) -> Out<'v> {
    let normalize = match rest {
        [Val::Bool(normalize)] => *normalize,
        _ => false,
    };
    match name {
        "quantity" => match Quantity::parse(text) {
            Ok(quantity) => Ok(Val::opaque(Opaque::Quantity(quantity))),
            Err(error) => failure(error),
        },
        "isQuantity" => Ok(Val::Bool(Quantity::parse(text).is_ok())),
        "semver" => match Semver::parse(text, normalize) {
            Some(version) => Ok(Val::opaque(Opaque::Semver(version))),
            None => failure("Invalid Semantic Version"),
        },
        "isSemver" => Ok(Val::Bool(Semver::parse(text, normalize).is_some())),
        "url" => match Url::parse(text) {
            Ok(url) => Ok(Val::opaque(Opaque::Url(url))),
            Err(error) => failure(error),
        },
        "isURL" => Ok(Val::Bool(Url::parse(text).is_ok())),
        "ip" => match Ip::parse(text) {
            Ok(ip) => Ok(Val::opaque(Opaque::Ip(ip))),
            Err(error) => failure(error),
        },
        "isIP" => Ok(Val::Bool(Ip::parse(text).is_ok())),
        "ip.isCanonical" => match Ip::parse(text) {
            Ok(ip) => Ok(Val::Bool(ip.to_string() == **text)),
            Err(error) => failure(error),
        },
        "cidr" => match Cidr::parse(text) {
            Ok(cidr) => Ok(Val::opaque(Opaque::Cidr(cidr))),
            Err(error) => failure(error),
        },
        "isCIDR" => Ok(Val::Bool(Cidr::parse(text).is_ok())),
        "format.named" => {
            Ok(Val::Optional(formats::named(text).map(|format| {
                Rc::new(Val::opaque(Opaque::Format(format)))
            })))
        }
        _ => no_overload(),
    }
}

fn order<'v>(name: &str, order: Option<Ordering>) -> Out<'v> {
    let order = order.unwrap_or(Ordering::Equal);
    Ok(match name {
        "isGreaterThan" => Val::Bool(order == Ordering::Greater),
        "isLessThan" => Val::Bool(order == Ordering::Less),
        _ => Val::Int(order as i64),
    })
}

fn quantities<'v>(name: &str, quantity: Quantity, rest: &[Val<'v>]) -> Out<'v> {
    let other = match rest {
        [] => {
            return match name {
                "isInteger" => Ok(Val::Bool(quantity.as_int().is_some())),
                "asInteger" => match quantity.as_int() {
                    Some(value) => Ok(Val::Int(value)),
                    None => failure("cannot convert value to integer"),
                },
                "asApproximateFloat" => Ok(Val::Double(quantity.as_f64())),
                "sign" => Ok(Val::Int(quantity.sign())),
                "string" => Ok(Val::text(quantity.to_string())),
                _ => no_overload(),
            };
        }
        [Val::Int(i)] => Quantity::from_int(*i),
        [Val::Opaque(other)] => match &**other {
            Opaque::Quantity(other) => *other,
            _ => return no_overload(),
        },
        _ => return no_overload(),
    };
    let sum = match name {
        "add" => quantity.plus(other),
        "sub" => quantity.minus(other),
        "isGreaterThan" | "isLessThan" | "compareTo" => {
            return order(name, quantity.partial_cmp(&other));
        }
        _ => return no_overload(),
    };
    match sum {
        Some(sum) => Ok(Val::opaque(Opaque::Quantity(sum))),
        None => failure("quantity overflow"),
    }
}

fn versions<'v>(name: &str, version: &Semver, rest: &[Val<'v>]) -> Out<'v> {
    match (name, rest) {
        ("major", []) => Ok(Val::Int(version.numbers[0] as i64)),
        ("minor", []) => Ok(Val::Int(version.numbers[1] as i64)),
        ("patch", []) => Ok(Val::Int(version.numbers[2] as i64)),
        (_, [Val::Opaque(other)]) => match &**other {
            Opaque::Semver(other) => order(name, version.partial_cmp(other)),
            _ => no_overload(),
        },
        _ => no_overload(),
    }
}

fn urls<'v>(name: &str, url: &Url) -> Out<'v> {
    Ok(match name {
        "getScheme" => Val::text(url.scheme.as_str()),
        "getHost" => Val::text(url.host.as_str()),
        "getHostname" => Val::text(url.hostname()),
        "getPort" => Val::text(url.port()),
        "getEscapedPath" => Val::text(url.escaped_path()),
        "getQuery" => {
            let entries = url
                .query_values()
                .into_iter()
                .map(|(key, values)| {
                    let values = values.into_iter().map(Val::text).collect();
                    (Val::text(key), Val::list(values))
                })
                .collect();
            Val::Dict(Dict::Owned(Rc::new(entries)))
        }
        _ => return no_overload(),
    })
}

fn addresses<'v>(name: &str, ip: &Ip) -> Out<'v> {
    Ok(match name {
        "family" => Val::Int(ip.family()),
        "isUnspecified" => Val::Bool(ip.0.is_unspecified()),
        "isLoopback" => Val::Bool(ip.0.is_loopback()),
        "isLinkLocalMulticast" => Val::Bool(ip.is_link_local_multicast()),
        "isLinkLocalUnicast" => Val::Bool(ip.is_link_local_unicast()),
        "isGlobalUnicast" => Val::Bool(ip.is_global_unicast()),
        "string" => Val::text(ip.to_string()),
        _ => return no_overload(),
    })
}

fn blocks<'v>(name: &str, cidr: &Cidr, rest: &[Val<'v>]) -> Out<'v> {
    match (name, rest) {
        ("ip", []) => Ok(Val::opaque(Opaque::Ip(cidr.ip))),
        ("masked", []) => Ok(Val::opaque(Opaque::Cidr(cidr.masked()))),
        ("prefixLength", []) => Ok(Val::Int(i64::from(cidr.prefix))),
        ("string", []) => Ok(Val::text(cidr.to_string())),
        ("containsIP", [Val::String(text)]) => match Ip::parse(text) {
            Ok(ip) => Ok(Val::Bool(cidr.contains_ip(&ip))),
            Err(error) => failure(error),
        },
        ("containsCIDR", [Val::String(text)]) => match Cidr::parse(text) {
            Ok(other) => Ok(Val::Bool(cidr.contains(&other))),
            Err(error) => failure(error),
        },
        (_, [Val::Opaque(other)]) => match (name, &**other) {
            ("containsIP", Opaque::Ip(ip)) => Ok(Val::Bool(cidr.contains_ip(ip))),
            ("containsCIDR", Opaque::Cidr(other)) => Ok(Val::Bool(cidr.contains(other))),
            _ => no_overload(),
        },
        _ => no_overload(),
    }
}

fn authorizer<'v>(run: &mut Run<'_, 'v>, name: &str, check: &Check, rest: &[Val<'v>]) -> Out<'v> {
    if let Some(decision) = &check.decision {
        return Ok(match name {
            "allowed" => Val::Bool(decision.allowed),
            "reason" => Val::text(decision.reason.as_str()),
            "error" => Val::text(""),
            "errored" => Val::Bool(false),
            _ => return no_overload(),
        });
    }
    let mut next = check.clone();
    match (name, rest) {
        ("path", [Val::String(path)]) => next.path = Some(path.to_string()),
        ("group", [Val::String(group)]) => next.group = group.to_string(),
        ("resource", [Val::String(resource)]) => next.resource = resource.to_string(),
        ("subresource", [Val::String(name)]) => next.subresource = name.to_string(),
        ("namespace", [Val::String(namespace)]) => next.namespace = namespace.to_string(),
        ("name", [Val::String(name)]) => next.name = name.to_string(),
        ("fieldSelector" | "labelSelector", [Val::String(_)]) => {}
        ("serviceAccount", [Val::String(namespace), Val::String(name)]) => {
            next.service_account = Some((namespace.to_string(), name.to_string()));
        }
        ("check", [Val::String(verb)]) => {
            next.decision = Some(run.bindings.authorize(check, verb));
        }
        _ => return no_overload(),
    }
    Ok(Val::opaque(Opaque::Check(next)))
}

/// Whether a text is a time as `format.datetime()` wants it.
pub(super) fn is_date_time(text: &str) -> bool {
    times::parse_timestamp(text).is_some()
}
