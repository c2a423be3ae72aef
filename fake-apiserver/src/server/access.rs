//! Where authentication, authorisation and admission stand in a request's way.
//!
//! Owns the places only; what is checked there is owned by `auth` and `admission`.

use std::sync::{Arc, LazyLock};

use http::header::AUTHORIZATION;

use super::{Authorization, Halt, Session, scale};
use crate::json::Value;
use crate::registry::Resource;
use crate::request::{User, WriteOptions};
use crate::status::Status;
use crate::store::Key;
use crate::{admission, auth, schema};

/// What is about to be done, as admission sees it.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'static str,
    /// The row addressed.
    pub row: &'a Arc<Resource>,
    /// The subresource, "" = none.
    pub subresource: &'a str,
    /// The namespace, "" = none.
    pub namespace: &'a str,
    /// The name; empty for generated names and deletecollection.
    pub name: &'a str,
    /// The object before, in the row's version.
    pub old: Option<&'a Value>,
    /// The options object (`CreateOptions`, …), as sent to webhooks.
    pub options: &'a Value,
    /// Nothing will be stored.
    pub dry_run: bool,
}

/// The options as webhooks and policies get to see them; null where there are none to see them.
pub(super) fn sent_options(s: &Session<'_>, options: &WriteOptions, kind: &str) -> Value {
    match admission::asks(s.core, true) || admission::asks(s.core, false) {
        true => options.to_value(kind),
        false => Value::Null,
    }
}

/// Finds out who asks; 401 if that fails. Without authorisation everybody is an administrator.
pub(super) fn authenticate(s: &mut Session<'_>) -> Result<(), Halt> {
    let request = s.request;
    let header = request.header(AUTHORIZATION);
    let open = s.core.config.authorization == Authorization::AlwaysAllow;
    s.user = if open && header.is_empty() {
        administrator()
    } else {
        let tokens = &s.core.config.tokens;
        let lookup = |token: &str| tokens.iter().find(|t| t.token == token).map(|t| &t.user);
        match auth::authenticate(header, lookup) {
            Ok(user) if open && user.name == "system:anonymous" => administrator(),
            Err(_) if open => administrator(),
            other => Arc::new(other?),
        }
    };
    if auth::impersonates(&request.headers) {
        let stored = auth::Stored::new(s.core);
        let user = User::clone(&s.user);
        let (headers, info, path) = (&request.headers, &request.info, &request.path);
        s.user = Arc::new(auth::impersonate(user, headers, info, path, &stored)?);
    }
    Ok(())
}

/// Whoever has not been authenticated yet.
pub(super) fn nobody() -> Arc<User> {
    static NOBODY: LazyLock<Arc<User>> = LazyLock::new(Arc::default);
    NOBODY.clone()
}

fn administrator() -> Arc<User> {
    static ADMINISTRATOR: LazyLock<Arc<User>> = LazyLock::new(|| {
        Arc::new(User {
            name: "admin".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..User::default()
        })
    });
    ADMINISTRATOR.clone()
}

/// 403 unless the user may.
pub(super) fn authorize(s: &mut Session<'_>) -> Result<(), Halt> {
    let stored = auth::Stored::new(s.core);
    auth::authorize(&s.user, &s.request.info, &s.request.path, &stored)?;
    Ok(())
}

/// 403 unless the user may also do this to the request's object (create-on-update, create by apply).
pub(super) fn authorize_verb(s: &Session<'_>, verb: &str) -> Result<(), Halt> {
    let stored = auth::Stored::new(s.core);
    let mut info = s.request.info.clone();
    info.verb = verb.into();
    auth::authorize(&s.user, &info, &s.request.path, &stored)?;
    Ok(())
}

/// Mutating admission; the object is in the row's version. True if it was changed.
pub(super) fn mutate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<bool, Halt> {
    if attributes.subresource == "scale" && admission::asks(s.core, true) {
        let mut view = scale::admitted(s, attributes.row, object, true);
        let old = attributes
            .old
            .map(|old| scale::admitted(s, attributes.row, old, true));
        let attributes = Attributes {
            old: old.as_ref(),
            ..attributes.clone()
        };
        let changed = admission::mutate(s, &attributes, &mut view)?;
        if changed {
            scale::put_back(attributes.row, object, &view);
        }
        return Ok(changed);
    }
    let tracked = match admission::asks(s.core, true) {
        true => object.at(&["metadata", "managedFields"]).cloned(),
        false => None,
    };
    let changed = admission::mutate(s, attributes, object)?;
    if changed {
        super::managed::check_admitted(s, tracked, object);
    }
    let row = attributes.row;
    if changed && attributes.operation != "DELETE" {
        if attributes.operation == "CREATE" {
            object.remove(&["metadata", "selfLink"]);
        }
        if attributes.subresource.is_empty() || attributes.subresource == "status" {
            super::body::check_namespace(row, attributes.namespace, object)?;
        }
    }
    if row.group == "rbac.authorization.k8s.io" && attributes.operation != "DELETE" {
        let stored = auth::Stored::new(s.core);
        auth::escalation::check(&s.user, &row.plural, object, attributes.old, &stored)?;
    }
    Ok(changed)
}

/// AD5: what a webhook added to a custom resource beyond its schema is seen by admission and not stored.
pub(super) fn prune(row: &Resource, object: &mut Value) {
    if let Some(custom) = &row.custom {
        schema::prune(&custom.schema, object);
    }
}

/// Validating admission; `object` is `None` for deletions.
pub(super) fn validate(
    s: &mut Session<'_>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), Halt> {
    if attributes.subresource == "scale" && admission::asks(s.core, false) {
        let view = |parent: &Value| scale::admitted(s, attributes.row, parent, false);
        let (object, old) = (object.map(view), attributes.old.map(view));
        let attributes = Attributes {
            old: old.as_ref(),
            ..attributes.clone()
        };
        return admission::validate(s, &attributes, object.as_ref());
    }
    admission::validate(s, attributes, object)
}

impl Session<'_> {
    /// Decodes an object that admission changed; an error is told bare (AD5).
    pub(crate) fn redecode(
        &mut self,
        attributes: &Attributes<'_>,
        object: Value,
    ) -> Result<Value, Status> {
        let row = attributes.row;
        let main = attributes.subresource.is_empty() || attributes.subresource == "status";
        if main && !row.is_custom() {
            self.check_type(row, &object)?;
        }
        let Some(schema) = row.schema.filter(|_| main) else {
            let mut object = object;
            if main {
                super::body::default(row, &mut object);
            }
            return Ok(object);
        };
        let decoded = schema::decode(schema, object).map_err(Status::internal)?;
        let mut value = decoded.value;
        super::body::default(row, &mut value);
        Ok(value)
    }

    /// An object that became another kind is read as that, and is not what was asked for.
    fn check_type(&self, row: &Resource, object: &Value) -> Result<(), Status> {
        let api_version = object.str_at(&["apiVersion"]);
        let kind = object.str_at(&["kind"]);
        if api_version.is_empty() || kind.is_empty() {
            return Ok(());
        }
        let own = row.api_version();
        if (api_version, kind) == (own, row.kind.as_str()) {
            return Ok(());
        }
        let Some(other) = self.core.row_of_kind(api_version, kind) else {
            return Err(Status::internal(format!(
                "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
                crate::status::go_quote(kind),
                crate::status::go_quote(api_version)
            )));
        };
        if let Some(schema) = other.schema {
            schema::decode(schema, object.clone()).map_err(Status::internal)?;
        }
        let package = match row.group.split('.').next() {
            None | Some("") => "core",
            Some(group) => group,
        };
        Err(Status::bare(format!(
            "converting ({}.{kind}) to ({package}.{}): unknown conversion",
            other.version, row.kind
        )))
    }

    /// Stores an object in the name of the server itself.
    pub(crate) fn put_as_server(
        &mut self,
        row: &Arc<Resource>,
        key: Key,
        mut object: Value,
        subresource: &str,
    ) {
        let Some(live) = self.core.store.get(row.id, &key).cloned() else {
            return;
        };
        let registry = &self.core.registry;
        super::managed::track_actor(
            registry,
            self.now,
            row,
            subresource,
            live.value(),
            &mut object,
            "apiserver",
        );
        let (origin, now) = (self.origin(), self.now);
        self.core.put(row, key, object, origin, now);
    }
}
