//! From the `Authorization` header to a user.
//!
//! Behaviour: apiserver `authentication/request/{bearertoken,anonymous}`: an unknown bearer
//! token is 401, anything else without a token is the anonymous user (A10).

use crate::request::User;
use crate::status::Status;

/// The user of requests without credentials.
pub fn anonymous() -> User {
    User {
        name: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..User::default()
    }
}

/// The user that an `Authorization` header names; `lookup` knows the tokens.
pub fn authenticate<'t>(
    header: &str,
    lookup: impl Fn(&str) -> Option<&'t User>,
) -> Result<User, Status> {
    let token = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .unwrap_or_default();
    if token.is_empty() {
        return Ok(anonymous());
    }
    match lookup(token) {
        Some(user) => Ok(with_default_groups(user.clone())),
        None => Err(Status::unauthorized()),
    }
}

/// Adds the group of everybody who is somebody.
pub fn with_default_groups(mut user: User) -> User {
    let known = |group: &str| user.groups.iter().any(|g| g == group);
    if !known("system:authenticated") && !known("system:unauthenticated") {
        user.groups.push("system:authenticated".to_owned());
    }
    user
}

/// The groups of a service account, if the user name is one's.
pub fn service_account_groups(name: &str) -> Option<Vec<String>> {
    let (namespace, account) = name
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    if namespace.is_empty() || account.is_empty() {
        return None;
    }
    Some(vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
    ])
}
