//! The table: each built-in property with a planted mutant that makes it fire, and a twin of it on which it is silent.
//!
//! Each row is a test, which makes the runs of the pair and looks at what the property said in them; the rows together are
//! held against the registry, so that a property cannot come without its pair.

use std::cell::RefCell;

use super::*;

/// What the properties of a setup said in its runs.
struct Judged {
    on: BTreeSet<String>,
    fired: BTreeSet<String>,
    unjudged: BTreeSet<String>,
}

thread_local! {
    static JUDGED: RefCell<Vec<Judged>> = const { RefCell::new(Vec::new()) };
}

/// Notes what the properties said in the runs of a setup.
pub(super) fn note(on: BTreeSet<String>, runs: &[Run]) {
    let verdicts = || runs.iter().map(|run| &run.verdict);
    let fired = verdicts().flat_map(|v| v.violated().into_iter().map(str::to_owned));
    let unjudged = verdicts().flat_map(|v| v.inconclusive.iter().map(|(name, _)| name.clone()));
    let judged = Judged {
        on,
        fired: fired.collect(),
        unjudged: unjudged.collect(),
    };
    JUDGED.with(|all| all.borrow_mut().push(judged));
}

fn fires_and_is_silent(property: &str, pair: fn()) {
    JUDGED.take();
    pair();
    let of: Vec<Judged> = JUDGED
        .take()
        .into_iter()
        .filter(|one| one.on.contains(property))
        .collect();
    assert!(
        of.iter().any(|one| one.fired.contains(property)),
        "no mutant makes {property} fire"
    );
    let silent = |one: &Judged| !one.fired.contains(property) && !one.unjudged.contains(property);
    assert!(
        of.iter().any(silent),
        "no twin on which {property} is silent"
    );
}

macro_rules! planted {
    ($($row:ident: $property:literal => $module:ident::$pair:ident;)*) => {
        const PLANTED: &[&str] = &[$($property),*];
        $(
            #[test]
            fn $row() {
                fires_and_is_silent($property, $module::$pair);
            }
        )*
    };
}

planted! {
    bounded_metric: "bounded-metric" => telemetry::bounded_metric_fires_on_a_long_queue;
    bounded_queue: "bounded-queue" => lifecycle::bounded_queue_fires_on_a_crowd_of_tasks_or_requests_and_not_on_a_few;
    bounded_requests: "bounded-requests" => bounded_requests::bounded_requests_fires_on_retries_without_a_pause_and_not_on_patient_ones;
    converges: "converges" => twins::converges_tells_a_fight_from_one_that_is_over_at_once;
    deadline_honoured: "deadline-honoured" => lifecycle::deadline_honoured_fires_on_a_reconcile_without_end_and_not_on_a_pause;
    finalizer_covers_cleanup: "finalizer-covers-cleanup" => finalizer_covers_cleanup::finalizer_covers_cleanup_fires_on_a_child_left_and_not_on_one_waited_for;
    idempotent: "idempotent" => idempotent::idempotent_fires_on_a_counter_and_not_on_a_constant;
    level_triggered: "level-triggered" => same_end_state::level_triggered_fires_only_where_a_state_was_missed;
    metric_rules: "metric-rules" => telemetry::metric_rules_fires_on_names_off_convention;
    no_duplicate_create: "no-duplicate-create" => no_duplicate_create::no_duplicate_create_fires_on_generated_names_and_not_on_fixed_ones;
    no_lost_update: "no-lost-update" => no_lost_update::no_lost_update_fires_on_a_blind_patch_and_not_on_a_guarded_one;
    no_orphans: "no-orphans" => twins::no_orphans_tells_a_cluster_that_collects_its_garbage_from_one_that_does_not;
    no_panic: "no-panic" => twins::no_panic_tells_an_object_taken_for_granted_from_one_that_is_read;
    no_stall: "no-stall" => no_stall::no_stall_names_the_wait_and_its_owner;
    no_task_leak: "no-task-leak" => lifecycle::no_task_leak_fires_on_a_task_let_go_and_not_on_one_taken_along;
    no_write_after_deposed: "no-write-after-deposed" => leases::no_write_after_deposed_fires_on_blind_writes_and_not_on_guarded_ones;
    one_tenant_per_series: "one-tenant-per-series" => telemetry::one_tenant_per_series_fires_on_a_mix;
    owner_refs_kept: "owner-refs-kept" => owner_refs_kept::owner_refs_kept_fires_on_a_blind_list_and_not_on_a_guarded_one;
    ready_after_sync: "ready-after-sync" => telemetry::ready_after_sync_fires_on_a_webhook_that_is_served_too_early;
    safe_delete: "safe-delete" => safe_delete::safe_delete_fires_on_an_object_never_seen_and_not_behind_a_precondition;
    same_end_state: "same-end-state" => same_end_state::same_end_state_fires_on_a_memory_that_a_crash_wipes_and_not_on_a_fresh_look;
    single_leader: "single-leader" => leases::single_leader_fires_on_a_hasty_one_and_not_on_a_patient_one;
    status_not_ahead_of_spec: "status-not-ahead-of-spec" => status_not_ahead_of_spec::status_not_ahead_of_spec_fires_on_a_late_read_and_not_on_an_honest_status;
    traced_writes: "traced-writes" => telemetry::traced_writes_fires_without_header_or_span;
    unique_effect: "unique-effect" => unique_effect::unique_effect_fires_on_a_second_child_and_not_on_a_fixed_name;
    unique_effect_outside: "unique-effect" => unique_effect::unique_effect_fires_on_a_second_volume_and_not_on_one_with_a_key;
    whole_traces: "whole-traces" => telemetry::whole_traces_fires_on_a_child_without_its_parent;
}

#[test]
fn every_built_in_property_is_in_the_table() {
    let planted: BTreeSet<&str> = PLANTED.iter().copied().collect();
    let known: BTreeSet<&str> = crate::property::all_names().collect();
    assert_eq!(planted, known);
}
