//! `grpc.health.v1`: what is loaded, service by service and model by model.

use std::collections::BTreeSet;

use segue_api::v1::model_registry_service_server::ModelRegistryServiceServer;
use segue_api::v1::scoring_service_server::ScoringServiceServer;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::live::Readiness;
use crate::registry_service::ModelRegistry;
use crate::scoring_service::Scoring;

/// The name of the server as a whole, and the services that score or need a readable registry.
const SERVICES: [&str; 3] = [
    "",
    <ScoringServiceServer<Scoring> as NamedService>::NAME,
    <ModelRegistryServiceServer<ModelRegistry> as NamedService>::NAME,
];

/// Carries readiness over to the health service.
pub(crate) struct Health {
    reporter: HealthReporter,
    readiness: watch::Receiver<Readiness>,
    /// Names that have been reported; a model that goes away is still known as not serving.
    names: BTreeSet<String>,
}

impl Health {
    /// Everything NOT_SERVING: tonic's own default for the server as a whole is SERVING.
    pub(crate) async fn new(
        readiness: watch::Receiver<Readiness>,
    ) -> (Self, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let mut health = Self { reporter, readiness, names: BTreeSet::new() };
        health.report().await;
        (health, service)
    }

    /// Reports every change until `closing`; then ends every watch, and rests.
    pub(crate) async fn follow(&mut self, closing: impl Future<Output = ()>) {
        tokio::pin!(closing);
        loop {
            tokio::select! {
                () = &mut closing => break,
                changed = self.readiness.changed() => match changed {
                    Ok(()) => self.report().await,
                    Err(_sender_gone) => break,
                },
            }
        }
        for name in &self.names {
            self.reporter.clear_service_status(name).await;
        }
        std::future::pending().await
    }

    async fn report(&mut self) {
        let readiness = self.readiness.borrow_and_update().clone();
        for name in SERVICES {
            self.set(name.to_owned(), readiness.ready).await;
        }
        let gone: Vec<String> = self
            .names
            .iter()
            .filter_map(|name| name.strip_prefix("model/"))
            .filter(|model| !readiness.models.contains_key(*model))
            .map(|model| format!("model/{model}"))
            .collect();
        for name in gone {
            self.set(name, false).await;
        }
        for (model, has_champion) in &readiness.models {
            self.set(format!("model/{model}"), *has_champion && !readiness.draining).await;
        }
    }

    async fn set(&mut self, name: String, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(&name, status).await;
        self.names.insert(name);
    }
}
