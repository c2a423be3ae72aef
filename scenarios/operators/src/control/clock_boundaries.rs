//! C8 clock-boundaries: a lease of 15 s that may count as run out after 14.001 s.
//!
//! ```text
//!   time    replica 0                     the Lease                  replica 1
//!   14.7 s  renew              ────────▶  renewTime 14.7, 15 s
//!   29.0 s  (next renewal at 29.4)                                   29 − 14 = 15 ≥ 15: run out
//!                                         replica 1, renewTime 29.0  ◀── take
//!   29.1 s  leads until 29.7                                         leads
//!    ▼       └── both lead, and both write
//! ```
//!
//! Three small things meet. The candidate compares whole seconds, so that a lease runs out up to a
//! second early. The holder renews one retry (300 ms) before the end, so that any delay takes it over
//! the edge. And since "there is only one leader", writes carry no version. Each passes every test that
//! renews on the full second; it is fractions, and pauses right around 300 ms and 15 s, that tell.
//!
//! The fixed twin measures with its own clock, in full resolution, from the moment it last saw the
//! lease change, and compares with `duration <= elapsed`; it renews at a third of the lease, so that
//! two renewals may be lost; its writes carry a version. It costs two more renewals for each lease.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::json;

use crate::{
    lease::{Observed, Seat, Terms, campaign},
    webapp::{Error, WebApp, answered, beside, control},
};

const RETRY: Duration = Duration::from_millis(300);

/// Counts in whole seconds, and renews at the last moment.
pub async fn buggy(client: Client, identity: String) {
    let default = Terms::default();
    let terms = Terms {
        renew: default.duration - RETRY,
        retry: RETRY,
        has_run_out: in_whole_seconds,
        ..default
    };
    run(client, identity, terms, false).await;
}

/// Counts in full resolution by its own clock, and renews at a third of the lease.
pub async fn fixed(client: Client, identity: String) {
    let terms = Terms {
        retry: RETRY,
        ..Terms::default()
    };
    run(client, identity, terms, true).await;
}

fn in_whole_seconds(lease: &Observed, duration: Duration) -> bool {
    let renewed = lease.renewed.unwrap_or(Timestamp::UNIX_EPOCH).as_second();
    let elapsed = Timestamp::now().as_second() - renewed; // WRONG: from 14.7 to 29.0 it is not 15.
    u64::try_from(elapsed).is_ok_and(|elapsed| elapsed >= duration.as_secs())
}

async fn run(client: Client, identity: String, terms: Terms, is_guarded: bool) {
    let seat = Seat::new(identity);
    let election = campaign(client.clone(), Arc::clone(&seat), terms);
    let apps = control(client, move |app, client| {
        acknowledge(app, client, Arc::clone(&seat), is_guarded)
    });
    futures::join!(election, apps);
}

/// The leader notes the size it has seen; the entries of earlier leaders stay.
async fn acknowledge(
    app: Arc<WebApp>,
    client: Client,
    seat: Arc<Seat>,
    is_guarded: bool,
) -> Result<Action, Error> {
    let again = Ok(Action::requeue(Duration::from_secs(2)));
    if !seat.is_held() {
        return again;
    }
    let apps: Api<WebApp> = beside(&app, client)?;
    let Some(live) = apps.get_opt(&app.name_any()).await? else {
        return Ok(Action::await_change());
    };
    let entry = format!("{} {}", seat.identity(), live.spec.size);
    let known = live.status.as_ref().and_then(|s| s.acknowledged_by.clone());
    let mut entries = known.unwrap_or_default();
    if entries.contains(&entry) {
        return again;
    }
    entries.retain(|other| !other.starts_with(seat.identity()));
    entries.push(entry);

    let mut patch = json!({"status": {"acknowledgedBy": entries}});
    if is_guarded {
        patch["metadata"] = json!({"resourceVersion": live.resource_version()});
    } // WRONG without it: the lease is trusted to keep the other writer away.
    let written = apps
        .patch_status(
            &live.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    match written {
        Err(error) if answered(&error, 409) => Ok(Action::requeue(RETRY)),
        Err(error) if !answered(&error, 404) => Err(error.into()),
        _ => again,
    }
}
