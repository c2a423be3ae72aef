//! R10 patch-retry-overwrites: the retry after a conflict sends the body that was built before it.
//!
//! ```text
//!   time   operator                       API server                 user
//!    │     get demo           ─────────▶  size 1            @10
//!    │                                    size 2            @11 ◀──  edit size: 2
//!    │     patch {size 1, …}@10 ───────▶  409 Conflict
//!    │     patch {size 1, …}  ─────────▶  size 1            @12
//!    ▼                                     └── the edit is undone, and nobody was told
//! ```
//!
//! The operator only wants to note on the object which size it has seen, but what it sends is the
//! whole object as it was read. The first attempt carries the version of that read, so the server
//! refuses it rightly. The retry keeps the body and drops the version, "because it is what the
//! conflict is about"; to copy the newest version into the old body would undo the edit just as well.
//! A conflict does not say *send again*, it says *what you know is out of date*.
//!
//! The fix rebuilds the body from a fresh read in each attempt. It costs one read per conflict.

use std::sync::Arc;

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};

use crate::webapp::{Error, WebApp, answered, beside, control};

const SEEN: &str = "demo.reconverge.dev/seen-size";
const ATTEMPTS: u32 = 5;

/// Builds the body once and retries with it.
pub async fn buggy(client: Client) {
    control(client, |app, client| note(app, client, false)).await;
}

/// Builds the body anew, from a fresh read, in each attempt.
pub async fn fixed(client: Client) {
    control(client, |app, client| note(app, client, true)).await;
}

async fn note(app: Arc<WebApp>, client: Client, rebuilds: bool) -> Result<Action, Error> {
    let apps: Api<WebApp> = beside(&app, client)?;
    let name = app.name_any();
    let Some(mut body) = read(&apps, &name).await? else {
        return Ok(Action::await_change());
    };
    for _ in 0..ATTEMPTS {
        let size = body.spec.size.to_string();
        if body.annotations().get(SEEN) == Some(&size) {
            return Ok(Action::await_change());
        }
        let mut noted = body.clone();
        noted.annotations_mut().insert(SEEN.to_owned(), size);
        let written = apps
            .patch(&name, &PatchParams::default(), &Patch::Merge(&noted))
            .await;
        match written {
            Ok(_) => return Ok(Action::await_change()),
            Err(error) if answered(&error, 404) => return Ok(Action::await_change()),
            Err(error) if !answered(&error, 409) => return Err(error.into()),
            Err(_) if rebuilds => match read(&apps, &name).await? {
                Some(fresh) => body = fresh,
                None => return Ok(Action::await_change()),
            },
            Err(_) => body.metadata.resource_version = None, // WRONG: the rest of the body is just as old.
        }
    }
    Ok(Action::requeue(std::time::Duration::from_secs(1)))
}

/// The object without what a write has no business to send.
async fn read(apps: &Api<WebApp>, name: &str) -> Result<Option<WebApp>, Error> {
    let mut app = apps.get_opt(name).await?;
    if let Some(app) = &mut app {
        app.managed_fields_mut().clear();
    }
    Ok(app)
}
