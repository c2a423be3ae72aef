//! `telemetry/`: what operators report about themselves, and to the systems around them.

pub mod alert_once;
pub mod exporter_backpressure;
pub mod lost_trace;
pub mod metric_rules;
pub mod readiness_lies;
pub mod sampling_reload;
pub mod tenant_mixing;
mod trace;

use sim::operator::Operators;

/// The operators of this folder's scenarios.
pub(crate) fn register(operators: Operators) -> Operators {
    operators
        .add("alert_once::buggy", |cx| {
            alert_once::buggy(cx.client.clone(), cx.service("pager"))
        })
        .add("alert_once::fixed", |cx| {
            alert_once::fixed(cx.client.clone(), cx.service("pager"))
        })
        .add("exporter_backpressure::blocking", |cx| {
            exporter_backpressure::blocking(cx.client.clone(), cx.service("collector"), cx.metrics)
        })
        .add("exporter_backpressure::buggy", |cx| {
            exporter_backpressure::buggy(cx.client.clone(), cx.service("collector"), cx.metrics)
        })
        .add("exporter_backpressure::fixed", |cx| {
            exporter_backpressure::fixed(cx.client.clone(), cx.service("collector"), cx.metrics)
        })
        .add("lost_trace::buggy", |cx| {
            lost_trace::buggy(cx.transport, cx.namespace)
        })
        .add("lost_trace::fixed", |cx| {
            lost_trace::fixed(cx.transport, cx.namespace)
        })
        .add("metric_rules::buggy", |cx| {
            metric_rules::buggy(cx.client, cx.metrics)
        })
        .add("metric_rules::fixed", |cx| {
            metric_rules::fixed(cx.client, cx.metrics)
        })
        .add("readiness_lies::buggy", readiness_lies::buggy)
        .add("readiness_lies::fixed", readiness_lies::fixed)
        .add("sampling_reload::buggy", |cx| {
            sampling_reload::buggy(
                cx.client.clone(),
                cx.transport.clone(),
                cx.service("collector"),
            )
        })
        .add("sampling_reload::fixed", |cx| {
            sampling_reload::fixed(
                cx.client.clone(),
                cx.transport.clone(),
                cx.service("collector"),
            )
        })
        .add("tenant_mixing::buggy", |cx| {
            tenant_mixing::buggy(cx.client, cx.metrics)
        })
        .add("tenant_mixing::fixed", |cx| {
            tenant_mixing::fixed(cx.client, cx.metrics)
        })
}
