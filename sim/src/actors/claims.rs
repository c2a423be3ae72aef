//! PersistentVolumeClaims: Pending → Bound after a while; kept while a Pod uses them.
//!
//! Simplifications: there is no PersistentVolume behind a claim, only its name; every class provisions at once
//! (`WaitForFirstConsumer` does not wait); the capacity is what was asked for.
//! Source: kubernetes `pkg/controller/volume/{persistentvolume,pvcprotection}`.

use fake_apiserver::json::Value;
use fake_apiserver::store::{Key, Object};
use fake_apiserver::time::Timestamp;

use super::objects::is_over;
use super::stages::ClaimStages;
use super::{Ask, CLAIMS, Control, Kind, PODS, Seen, Step, When};

const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The claims of a cluster.
pub(super) struct Claims {
    stages: ClaimStages,
}

impl Claims {
    pub(super) fn new(stages: ClaimStages) -> Claims {
        Claims { stages }
    }
}

impl Control for Claims {
    fn watches(&self) -> &'static [Kind] {
        &[CLAIMS, PODS]
    }

    fn concerned(&self, _seen: &Seen, _of: Kind, pod: &Object) -> Vec<Key> {
        let names = claims_of(pod);
        names.map(|name| Key::new(pod.namespace(), name)).collect()
    }

    fn next(&mut self, seen: &Seen, key: &Key, _now: Timestamp) -> Option<Step> {
        let claim = seen.get(CLAIMS, key)?;
        let value = claim.value();
        if claim.is_terminating() {
            return release(seen, claim);
        }
        let phase = value.str_at(&["status", "phase"]);
        if phase == "Bound" {
            return None;
        }
        let mut bound = value.clone();
        if value.str_at(&["spec", "volumeName"]).is_empty() {
            let volume = format!("pvc-{}", claim.uid());
            bound.set(&["spec", "volumeName"], volume.as_str());
            bound.set(
                &["metadata", "annotations", "pv.kubernetes.io/bind-completed"],
                "yes",
            );
            return Some(Step {
                what: format!("claim {} is given a volume", claim.name()),
                when: When::After(self.stages.bind),
                ask: Ask::update(CLAIMS, claim, bound),
            });
        }
        bound.set(&["status", "phase"], "Bound");
        if let Some(modes) = value.at(&["spec", "accessModes"]) {
            bound.set(&["status", "accessModes"], modes.clone());
        }
        if let Some(asked) = value.at(&["spec", "resources", "requests"]) {
            bound.set(&["status", "capacity"], asked.clone());
        }
        Some(Step {
            what: format!("claim {} is bound", claim.name()),
            when: When::Soon,
            ask: Ask::below(CLAIMS, claim, "status", bound),
        })
    }
}

pub(super) fn claims_of(pod: &Object) -> impl Iterator<Item = &str> {
    let volumes = pod.value().array_at(&["spec", "volumes"]).iter();
    let names = volumes.map(|volume| volume.str_at(&["persistentVolumeClaim", "claimName"]));
    names.filter(|name| !name.is_empty())
}

/// Takes the protection away once no Pod uses the claim.
fn release(seen: &Seen, claim: &Object) -> Option<Step> {
    let finalizers = claim.value().array_at(&["metadata", "finalizers"]);
    let is_protection = |finalizer: &&Value| finalizer.as_str() == Some(PROTECTION);
    finalizers.iter().find(is_protection)?;
    let used = seen
        .in_namespace(PODS, claim.namespace())
        .any(|pod| !is_over(pod.value()) && claims_of(pod).any(|name| name == claim.name()));
    if used {
        return None;
    }
    let rest = finalizers
        .iter()
        .filter(|finalizer| !is_protection(finalizer));
    let rest: Vec<Value> = rest.cloned().collect();
    let mut free = claim.value().clone();
    free.set(&["metadata", "finalizers"], Value::Array(rest));
    Some(Step {
        what: format!("claim {} is not used any more", claim.name()),
        when: When::Soon,
        ask: Ask::update(CLAIMS, claim, free),
    })
}
