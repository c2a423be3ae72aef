//! Leader election as operators write it: one Lease, a holder that renews it, candidates that wait for it to run out.
//!
//! Owns the loop that the scenarios about leaders share: `holderIdentity`, `renewTime`, `leaseDurationSeconds`, and a
//! replace that carries the resourceVersion, so that of two candidates one is refused. When a lease counts as run out,
//! and how often it is renewed, are [`Terms`]: the rows differ in them.
//! Does not own what a leader may do: whoever writes asks its [`Seat`] first, and that answer can be old by the time
//! the write arrives.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

use crate::webapp::answered;

const NAME: &str = "webapp-leader";

/// How a lease is held.
#[derive(Clone, Copy)]
pub struct Terms {
    /// How long a holder may be silent: `leaseDurationSeconds`.
    pub duration: Duration,
    /// The holder's pause between two renewals.
    pub renew: Duration,
    /// A candidate's pause between two looks.
    pub retry: Duration,
    /// Whether a lease has run out, as a candidate judges it.
    pub has_run_out: fn(&Observed, Duration) -> bool,
}

impl Default for Terms {
    /// 15 s, renewed at a third; run out once the candidate itself has seen no renewal for as long.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(2),
            has_run_out: |lease, duration| duration <= lease.since.elapsed(),
        }
    }
}

/// A lease as a candidate last saw it change.
pub struct Observed {
    version: Option<String>,
    /// When that was, by the candidate's own clock.
    pub since: Instant,
    /// The holder's `renewTime`, by the holder's clock.
    pub renewed: Option<Timestamp>,
}

/// A replica's place in the election.
pub struct Seat {
    identity: String,
    until: Mutex<Option<Instant>>,
}

impl Seat {
    /// A replica that does not lead yet.
    pub fn new(identity: String) -> Arc<Self> {
        Arc::new(Self {
            identity,
            until: Mutex::default(),
        })
    }

    /// The name that the replica stands under.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether the replica leads, as far as it knows.
    pub fn is_held(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn hold(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Stands for election for ever.
pub async fn campaign(client: Client, seat: Arc<Seat>, terms: Terms) {
    let leases: Api<Lease> = Api::default_namespaced(client);
    let mut observed = None;
    loop {
        let pause = match attempt(&leases, &seat, &terms, &mut observed).await {
            Ok(true) => terms.renew,
            Ok(false) => terms.retry,
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed");
                terms.retry
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Takes or renews the lease, if it is to be had; says whether it was.
async fn attempt(
    leases: &Api<Lease>,
    seat: &Seat,
    terms: &Terms,
    observed: &mut Option<Observed>,
) -> Result<bool, kube::Error> {
    let found = leases.get_opt(NAME).await?;
    let asked = Instant::now();
    let written = match found {
        None => {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(claim(LeaseSpec::default(), seat, terms)),
            };
            leases.create(&PostParams::default(), &lease).await
        }
        Some(mut lease) => {
            let spec = lease.spec.take().unwrap_or_default();
            let version = lease.resource_version();
            if observed.as_ref().is_none_or(|seen| seen.version != version) {
                *observed = Some(Observed {
                    version,
                    since: asked,
                    renewed: spec.renew_time.as_ref().map(|time| time.0),
                });
            }
            let is_mine = spec.holder_identity.as_deref() == Some(seat.identity());
            let has_run_out = observed
                .as_ref()
                .is_some_and(|seen| (terms.has_run_out)(seen, terms.duration));
            if !is_mine && !has_run_out {
                seat.hold(None);
                return Ok(false);
            }
            lease.spec = Some(claim(spec, seat, terms));
            // Carries the resourceVersion of the read: of two candidates one is refused.
            leases.replace(NAME, &PostParams::default(), &lease).await
        }
    };
    match written {
        Ok(_) => {
            seat.hold(Some(asked + terms.duration));
            Ok(true)
        }
        Err(error) if answered(&error, 409) => {
            seat.hold(None);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The lease, held by this replica from now on.
fn claim(spec: LeaseSpec, seat: &Seat, terms: &Terms) -> LeaseSpec {
    let now = Some(MicroTime(Timestamp::now()));
    let is_mine = spec.holder_identity.as_deref() == Some(seat.identity());
    LeaseSpec {
        holder_identity: Some(seat.identity().to_owned()),
        lease_duration_seconds: i32::try_from(terms.duration.as_secs()).ok(),
        acquire_time: if is_mine {
            spec.acquire_time
        } else {
            now.clone()
        },
        lease_transitions: Some(
            spec.lease_transitions
                .map_or(0, |count| count + i32::from(!is_mine)),
        ),
        renew_time: now,
        ..spec
    }
}
