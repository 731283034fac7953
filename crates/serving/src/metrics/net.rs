//! Connections, what their callers leave unread, certificates, and who was refused.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// A port by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PortLabels {
    pub(crate) port: &'static str,
}

/// Why a connection ended early.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ConnectionLabels {
    pub(crate) port: &'static str,
    pub(crate) reason: &'static str,
}

/// Why a method was refused to its caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DeniedLabels {
    pub(crate) reason: &'static str,
    pub(crate) method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    what: &'static str,
    result: &'static str,
}

/// What is counted of connections and of access.
#[derive(Debug)]
pub(crate) struct NetMetrics {
    pub(crate) connections: Family<PortLabels, Gauge>,
    pub(crate) refused: Family<ConnectionLabels, Counter>,
    pub(crate) cut: Family<ConnectionLabels, Counter>,
    pub(crate) unread_bytes: Gauge,
    pub(crate) request_bytes: Gauge,
    pub(crate) tls_not_after: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    pub(crate) denied: Family<DeniedLabels, Counter>,
}

impl NetMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self {
            connections: Family::default(),
            refused: Family::default(),
            cut: Family::default(),
            unread_bytes: Gauge::default(),
            request_bytes: Gauge::default(),
            tls_not_after: Gauge::default(),
            reloads: Family::default(),
            denied: Family::default(),
        };
        all.register("segue_connections", "Connections open", metrics.connections.clone());
        all.register(
            "segue_connections_refused",
            "Connections closed before they could ask for anything",
            metrics.refused.clone(),
        );
        all.register(
            "segue_connections_cut",
            "Connections closed because their callers were silent or did not read",
            metrics.cut.clone(),
        );
        all.register_with_unit(
            "segue_unread_answer",
            "Answers that callers have not read yet",
            Unit::Bytes,
            metrics.unread_bytes.clone(),
        );
        all.register_with_unit(
            "segue_request_body",
            "Requests being received",
            Unit::Bytes,
            metrics.request_bytes.clone(),
        );
        all.register_with_unit(
            "segue_tls_certificate_not_after",
            "Time since 1970 at which the certificate in use expires, 0 without TLS",
            Unit::Seconds,
            metrics.tls_not_after.clone(),
        );
        all.register(
            "segue_reloads",
            "Changed certificates and access files, taken or refused",
            metrics.reloads.clone(),
        );
        for what in ["tls", "access"] {
            for result in ["ok", "failed"] {
                let _ = metrics.reloads.get_or_create(&ReloadLabels { what, result });
            }
        }
        all.register(
            "segue_access_denied",
            "Requests refused because of who asked",
            metrics.denied.clone(),
        );
        metrics
    }

    /// Counts a look at changed files.
    pub(crate) fn reloaded(&self, what: &'static str, is_good: bool) {
        let result = if is_good { "ok" } else { "failed" };
        self.reloads.get_or_create(&ReloadLabels { what, result }).inc();
    }
}
