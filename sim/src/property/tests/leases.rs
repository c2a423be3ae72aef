//! `single-leader` and `no-write-after-deposed`: two replicas and a Lease.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::*;

const GOOD_FOR: SignedDuration = SignedDuration::from_secs(15);

/// How a leader goes wrong.
#[derive(Clone, Copy, Default)]
struct Mutant {
    /// It takes a Lease over before that has run out.
    hasty: bool,
    /// Its writes carry no version.
    blind: bool,
}

/// Leads while it can renew the Lease; the leader signs the object every two seconds.
fn leaders(mutant: Mutant) -> crate::operator::OperatorFn {
    operator(move |cx: OperatorContext| async move {
        let leases: Api<Lease> = Api::namespaced(cx.client.clone(), "default");
        let maps: Api<ConfigMap> = Api::namespaced(cx.client.clone(), "default");
        while !cx.identity.is_empty() {
            let until = lead(&leases, &cx.identity, mutant).await;
            if let Ok(Some(until)) = until {
                while Timestamp::now() < until {
                    let _ = work(&maps, &cx.identity, mutant).await;
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            } else {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    })
}

/// Takes or renews the Lease; gives the time until which to work before it is renewed.
async fn lead(
    leases: &Api<Lease>,
    me: &str,
    mutant: Mutant,
) -> Result<Option<Timestamp>, kube::Error> {
    let found = leases.get_opt("lock").await?;
    let now = Timestamp::now();
    let good_for = if mutant.hasty {
        SignedDuration::from_secs(3)
    } else {
        GOOD_FOR
    };
    let spec = found
        .as_ref()
        .and_then(|lease| lease.spec.clone())
        .unwrap_or_default();
    let renewed = spec.renew_time.as_ref().map(|time| time.0);
    let free = spec
        .holder_identity
        .as_deref()
        .is_none_or(|holder| holder == me)
        || renewed.is_none_or(|renewed| now > renewed + good_for);
    if !free {
        return Ok(None);
    }
    let mut lease = found.clone().unwrap_or_default();
    lease.metadata.name = Some("lock".into());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(15),
        renew_time: Some(MicroTime(now)),
        ..spec
    });
    let written = match found {
        Some(_) => leases.replace("lock", &PostParams::default(), &lease).await,
        None => leases.create(&PostParams::default(), &lease).await,
    };
    written.map(|_| Some(now + SignedDuration::from_secs(5)))
}

async fn work(maps: &Api<ConfigMap>, me: &str, mutant: Mutant) -> Result<(), kube::Error> {
    let map = maps.get("main").await?;
    let mut patch = json!({"data": {"leader": me}});
    if !mutant.blind {
        patch["metadata"] = json!({"resourceVersion": map.resource_version()});
    }
    maps.patch("main", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

fn with(mutant: Mutant, property: &str) -> Setup {
    let mut setup = setup(leaders(mutant), 2);
    setup.settle.force = false;
    setup.properties = vec![builtin(property).expect("it is built in")];
    setup.until = crate::setup::Until::Time(SimTime(90_000_000));
    setup.workload = vec![poke(
        60_000,
        json!({"metadata": {"annotations": {"a": "1"}}}),
    )];
    setup.faults = FaultPlan {
        at_most: 4,
        from: vec![Fault::Pause {
            operator: None,
            lasting: DurationRange::ms(15_000, 25_000),
        }],
    };
    setup
}

/// As `check`, for runs that end at a time.
fn broken(setup: Setup) -> Vec<String> {
    let runs = runs(setup, 0..24);
    let inconclusive: Vec<_> = runs
        .iter()
        .flat_map(|run| &run.verdict.inconclusive)
        .collect();
    assert!(inconclusive.is_empty(), "{inconclusive:?}");
    let findings = runs.iter().flat_map(|run| &run.verdict.findings);
    findings.map(|finding| finding.message.clone()).collect()
}

pub(super) fn single_leader_fires_on_a_hasty_one_and_not_on_a_patient_one() {
    let hasty = Mutant {
        hasty: true,
        ..Mutant::default()
    };
    let found = broken(with(hasty, "single-leader"));
    assert!(
        found
            .iter()
            .any(|message| message.contains("leases/default/lock")),
        "{found:?}"
    );
    let found = broken(with(Mutant::default(), "single-leader"));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn single_leader_is_inconclusive_without_a_lease() {
    let mut setup = setup(maps(|_, ctx| sign(ctx, true)), 2);
    setup.properties = vec![builtin("single-leader").expect("it is built in")];
    let runs = runs(setup, 0..1);
    assert_eq!(runs[0].verdict.inconclusive.len(), 1);
}

pub(super) fn no_write_after_deposed_fires_on_blind_writes_and_not_on_guarded_ones() {
    let blind = Mutant {
        blind: true,
        ..Mutant::default()
    };
    let found = broken(with(blind, "no-write-after-deposed"));
    assert!(
        found
            .iter()
            .any(|message| message.contains("has become the leader")),
        "{found:?}"
    );
    let found = broken(with(Mutant::default(), "no-write-after-deposed"));
    assert!(found.is_empty(), "{found:?}");
}
