//! Whether the server, a service or a model is ready.

use tokio::time::Instant;
use tonic::Request;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::call::{CallOptions, too_late};
use crate::{Client, Error};

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Serving,
    /// It does not, or not yet, or no longer.
    NotServing,
    /// It does not know what was asked for.
    Unknown,
}

impl Health {
    fn of(answer: &HealthCheckResponse) -> Self {
        match answer.status() {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Self::Unknown,
        }
    }
}

impl Client {
    /// The health of a service: empty for the server as a whole, `model/NAME` for a model, or the full
    /// name of a gRPC service. Asked once, without a retry.
    ///
    /// # Errors
    /// [`Error::Failed`]: NOT_FOUND for a service that the server does not know, UNAVAILABLE if it cannot
    /// be reached.
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        let options =
            CallOptions { retry: Some(crate::RetryPolicy::never()), ..CallOptions::default() };
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self
            .unary(&options, self.until(&options), request, |transport, request: Request<_>| {
                let mut health = HealthClient::new(transport);
                async move { health.check(request).await }
            })
            .await?;
        Ok(Health::of(&answer))
    }

    /// Waits until a service is [`Health::Serving`], at the longest until `deadline`; a server that does
    /// not listen yet is asked again.
    ///
    /// # Errors
    /// [`Error::Failed`] with DEADLINE_EXCEEDED, or what the server said.
    pub async fn wait_until_serving(&self, service: &str, deadline: Instant) -> Result<(), Error> {
        let waits = async {
            loop {
                match self.watch_until_serving(service).await {
                    Err(error) if error.code() != tonic::Code::Unavailable => return Err(error),
                    Ok(true) => return Ok(()),
                    Ok(false) | Err(_) => {
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
            }
        };
        let outcome = tokio::time::timeout_at(deadline, waits).await;
        outcome.unwrap_or_else(|_| Err(too_late(1, Some("not serving before the deadline"))))
    }

    /// Whether it came to serve before the watch ended.
    async fn watch_until_serving(&self, service: &str) -> Result<bool, Error> {
        let failed = |status| Error::after(&status, 1);
        let mut health = HealthClient::new(self.transport());
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut updates = health.watch(request).await.map_err(failed)?.into_inner();
        while let Some(update) = updates.message().await.map_err(failed)? {
            if Health::of(&update) == Health::Serving {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
