//! C1 field-managers: two managers force-apply the same field, and each undoes the other for ever.
//!
//! ```text
//!   time   platform                       API server                 team
//!    │     apply colour: blue ─────────▶  blue    (platform's)
//!    │                                    green   (team's)     ◀───  apply colour: green
//!    │     event: "green? mine is blue"
//!    │     apply colour: blue ─────────▶  blue    (platform's)       event: "blue? mine is green"
//!    │                                    green   (team's)     ◀───  apply colour: green
//!    ▼                                     └── and so on, as fast as the network allows
//! ```
//!
//! Server-side apply records who set which field and answers 409 when a manager sets a field of
//! another's to another value. `force` turns exactly that answer off: the field changes hands without
//! either owner having decided it. Two controllers that do so on each event never stop.
//!
//! The fixed twin applies without `force`. A conflict is not tried again in the hope that it goes
//! away: the manager says so in an Event on the object that its users look at, and goes on with the
//! fields that nobody else owns. It costs a decision, which is the point: somebody has to change one
//! of the two configurations.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
    },
};
use serde_json::json;

use crate::webapp::{Error, WebApp, answered, beside, control};

/// Takes every field it has an opinion on.
pub async fn buggy(client: Client, name: String) {
    control(client, move |app, client| {
        let manager = name.clone();
        async move {
            let wanted = wanted(&app, &manager);
            let params = PatchParams::apply(&manager).force(); // WRONG: takes what another manager owns.
            apply(&app, client, &params, &wanted).await?;
            Ok(Action::await_change())
        }
    })
    .await;
}

/// Owns what nobody else does, and says what it could not have.
pub async fn fixed(client: Client, name: String) {
    control(client, move |app, client| {
        let manager = name.clone();
        async move {
            let params = PatchParams::apply(&manager);
            let mut wanted = wanted(&app, &manager);
            match apply(&app, client.clone(), &params, &wanted).await {
                Err(Error::Api(error)) if answered(&error, 409) => {
                    surface(&app, client.clone(), &manager, &error).await?;
                    // The contested field stays with its owner.
                    wanted.remove("colour");
                    apply(&app, client, &params, &wanted).await?;
                }
                other => other?,
            }
            Ok(Action::await_change())
        }
    })
    .await;
}

/// What a manager would like the settings to be: its own mark, and an opinion on the colour.
fn wanted(app: &WebApp, manager: &str) -> BTreeMap<String, String> {
    let colour = if manager == "team" { "green" } else { "blue" };
    BTreeMap::from([
        ("colour".to_owned(), colour.to_owned()),
        (format!("{manager}-size"), app.spec.size.to_string()),
    ])
}

async fn apply(
    app: &WebApp,
    client: Client,
    params: &PatchParams,
    data: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let settings: Api<ConfigMap> = beside(app, client)?;
    let name = format!("{}-settings", app.name_any());
    let owner = app.owner_ref(&()).ok_or(Error::Incomplete("uid"))?;
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": [owner]},
        "data": data,
    });
    settings.patch(&name, params, &Patch::Apply(patch)).await?;
    Ok(())
}

/// Tells the users of the object about the conflict, where `kubectl describe` shows it.
async fn surface(
    app: &Arc<WebApp>,
    client: Client,
    manager: &str,
    error: &kube::Error,
) -> Result<(), Error> {
    let reporter = Reporter::from(manager.to_owned());
    let event = Event {
        type_: EventType::Warning,
        reason: "FieldConflict".to_owned(),
        note: Some(error.to_string()),
        action: "Apply".to_owned(),
        secondary: None,
    };
    Recorder::new(client, reporter)
        .publish(&event, &app.object_ref(&()))
        .await?;
    Ok(())
}
