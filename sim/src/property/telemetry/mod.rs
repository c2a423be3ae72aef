//! Properties of what operators report about themselves: conventions that a scenario asks for by name.
//!
//! They are not among the properties that every right operator has: an operator without metrics or traces is not wrong.

mod bounded_metric;
mod metric_rules;
mod one_tenant_per_series;
mod ready_after_sync;
mod traced_writes;
mod whole_traces;

pub(in crate::property) use bounded_metric::BoundedMetric;
pub(in crate::property) use metric_rules::MetricRules;
pub(in crate::property) use one_tenant_per_series::OneTenantPerSeries;
pub(in crate::property) use ready_after_sync::ReadyAfterSync;
pub(in crate::property) use traced_writes::TracedWrites;
pub(in crate::property) use whole_traces::WholeTraces;
