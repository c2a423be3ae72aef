//! `one-tenant-per-series`: what is counted for one tenant is not counted under another's name.
//!
//! A namespace belongs to one tenant: series of a replica that name the same `namespace` must name the same `tenant`. Judged
//! at each scrape.
//!
//! Does not see: series without these two labels, and a mix-up that is the same from the first count on.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_apiserver::store::Entry;

use super::super::{About, Property, Report, View};
use crate::event::Event;
use crate::telemetry::Exposition;
use crate::trace::Record;

#[derive(Default)]
pub(in crate::property) struct OneTenantPerSeries;

impl Property for OneTenantPerSeries {
    fn observe(&mut self, record: &Record, _: &[Arc<Entry>], view: &View<'_>, report: &mut Report) {
        let Event::MetricsScraped { replica, body } = &record.event else {
            return;
        };
        let text = view
            .trace
            .bodies
            .get(body)
            .map(|text| String::from_utf8_lossy(text));
        let (read, _) = Exposition::read(&text.unwrap_or_default());
        let mut tenants: BTreeMap<&str, &str> = BTreeMap::new();
        for sample in &read.samples {
            let label = |name: &str| sample.labels.get(name).map(String::as_str);
            let (Some(namespace), Some(tenant)) = (label("namespace"), label("tenant")) else {
                continue;
            };
            let first = *tenants.entry(namespace).or_insert(tenant);
            if first != tenant {
                let about = About {
                    replica: Some(*replica),
                    ..About::default()
                };
                report.find(
                    format!(
                        "{} of namespace {namespace} is counted for tenant {first} and for tenant {tenant}",
                        sample.name
                    ),
                    about,
                );
            }
        }
    }
}
