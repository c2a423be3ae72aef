//! Acting as somebody else (`Impersonate-User` and its companions).
//!
//! Behaviour: apiserver `endpoints/filters/impersonation` (B13). In 1.36 a user who may not
//! impersonate outright is asked for the constrained verbs (`impersonate:user-info`,
//! `impersonate-on:user-info:<verb>`), and the refusal speaks of the latter.

use super::rbac::{Attributes, Grants, decide};
use super::{forbidden, service_account_groups, with_default_groups};
use crate::request::{RequestInfo, User};
use crate::status::Status;
use http::HeaderMap;

/// Whether a header asks to act as somebody else.
pub fn impersonates(headers: &HeaderMap) -> bool {
    let mut names = headers.keys();
    names.any(|name| name.as_str().starts_with("impersonate-"))
}

/// The user to act as: `user` itself if no header asks for another.
pub fn impersonate(
    user: User,
    headers: &HeaderMap,
    info: &RequestInfo,
    path: &str,
    grants: &dyn Grants,
) -> Result<User, Status> {
    if !impersonates(headers) {
        return Ok(user);
    }
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (name, uid) = (text("impersonate-user"), text("impersonate-uid"));
    let mut groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
        .collect();
    let mut target = User::default();
    for (header, value) in headers {
        if let Some(key) = header.as_str().strip_prefix("impersonate-extra-") {
            let values = target.extra.entry(unescape(key)).or_default();
            values.extend(value.to_str().ok().map(str::to_owned));
        }
    }
    if name.is_empty() {
        if uid.is_empty() && groups.is_empty() && target.extra.is_empty() {
            return Ok(user);
        }
        return Err(without_name(&uid, &groups, &target));
    }
    let mut wanted = Vec::new();
    match name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    {
        Some((namespace, account)) => {
            wanted.push(Attributes::impersonation(
                "",
                "serviceaccounts",
                namespace,
                account,
            ));
            if groups.is_empty() {
                groups = service_account_groups(&name).unwrap_or_default();
            }
        }
        None => wanted.push(Attributes::impersonation("", "users", "", &name)),
    }
    if !headers.contains_key("impersonate-group") {
        // Groups of a service account follow from its name.
    } else {
        for group in &groups {
            wanted.push(Attributes::impersonation("", "groups", "", group));
        }
    }
    if !uid.is_empty() {
        wanted.push(Attributes::impersonation(
            "authentication.k8s.io",
            "uids",
            "",
            &uid,
        ));
    }
    for (key, values) in &target.extra {
        for value in values {
            let mut attributes =
                Attributes::impersonation("authentication.k8s.io", "userextras", "", value);
            attributes.subresource.clone_from(key);
            wanted.push(attributes);
        }
    }
    let outright = wanted.iter().all(|a| decide(&user, a, grants).allowed);
    if !outright {
        constrained(&user, &name, &wanted, info, path, grants)?;
    }
    target.name = name;
    target.uid = uid;
    target.groups = groups;
    if target.name == "system:anonymous" {
        return Ok(target);
    }
    Ok(with_default_groups(target))
}

fn constrained(
    user: &User,
    name: &str,
    wanted: &[Attributes],
    info: &RequestInfo,
    path: &str,
    grants: &dyn Grants,
) -> Result<(), Status> {
    let mode = if service_account_groups(name).is_some() {
        "serviceaccount"
    } else {
        "user-info"
    };
    let mut on = Attributes::of_request(info, path);
    on.verb = format!("impersonate-on:{mode}:{}", on.verb);
    if !decide(user, &on, grants).allowed {
        return Err(forbidden(user, &on));
    }
    for attributes in wanted {
        let mut attributes = attributes.clone();
        attributes.verb = format!("impersonate:{mode}");
        attributes.group = "authentication.k8s.io".to_owned();
        if !decide(user, &attributes, grants).allowed {
            return Err(forbidden(user, &attributes));
        }
    }
    Ok(())
}

fn without_name(uid: &str, groups: &[String], target: &User) -> Status {
    let quote = crate::status::go_quote;
    let list = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let shown_groups = if groups.is_empty() {
        "[]string(nil)".to_owned()
    } else {
        list(groups)
    };
    let extra: Vec<String> = target
        .extra
        .iter()
        .map(|(key, values)| format!("{}:{}", quote(key), list(values)))
        .collect();
    let shown_extra = if extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        format!("map[string][]string{{{}}}", extra.join(", "))
    };
    Status::bad_request(format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{shown_groups}, Extra:{shown_extra}}} without impersonating a user name",
        quote(uid)
    ))
}

/// Keys of extras are lower case and percent-encoded in headers.
fn unescape(key: &str) -> String {
    crate::request::query::decode(key, false).into_owned()
}
