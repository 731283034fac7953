//! Models, their versions, and moving their aliases.

use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use tonic::Request;

use crate::call::{CallOptions, Transport, call_options, fresh_id};
use crate::{Client, Error};

/// Models of a page.
const PAGE: i32 = 200;

impl Client {
    /// Every model of the registry, by name.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said.
    pub async fn models(&self) -> Result<Vec<pb::Model>, Error> {
        let mut models = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListModelsRequest { page_size: PAGE, page_token };
            let options = CallOptions::default();
            let page = self
                .unary(&options, self.until(&options), request, |transport, request: Request<_>| {
                    let mut registry = self.registry(transport);
                    async move { registry.list_models(request).await }
                })
                .await?;
            models.extend(page.models);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(models);
            }
        }
    }

    /// One model: its aliases, its state, what the server has in memory.
    pub fn model(&self, name: impl Into<String>) -> ModelCall {
        ModelCall { client: self.clone(), call: CallOptions::default(), model: name.into() }
    }

    /// Moves `champion` to `version`, through the gates.
    pub fn promote(&self, model: impl Into<String>, version: i64) -> PromoteCall {
        let request = pb::PromoteModelVersionRequest {
            model: model.into(),
            version,
            request_id: fresh_id(),
            ..pb::PromoteModelVersionRequest::default()
        };
        PromoteCall { client: self.clone(), call: CallOptions::default(), request }
    }

    /// Moves `champion` back to where it pointed before.
    pub fn rollback(&self, model: impl Into<String>) -> RollbackCall {
        let request = pb::RollbackModelRequest {
            model: model.into(),
            request_id: fresh_id(),
            ..pb::RollbackModelRequest::default()
        };
        RollbackCall { client: self.clone(), call: CallOptions::default(), request }
    }

    /// Moves any alias but `champion`, which needs no gates.
    pub fn set_alias(
        &self,
        model: impl Into<String>,
        alias: impl Into<String>,
        version: i64,
    ) -> SetAliasCall {
        let request = pb::SetModelAliasRequest {
            model: model.into(),
            alias: alias.into(),
            version,
            request_id: fresh_id(),
            ..pb::SetModelAliasRequest::default()
        };
        SetAliasCall { client: self.clone(), call: CallOptions::default(), request }
    }

    fn registry(&self, transport: Transport) -> ModelRegistryServiceClient<Transport> {
        ModelRegistryServiceClient::new(transport)
            .max_decoding_message_size(self.shared.max_message_bytes)
    }
}

/// A call of `GetModel` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before send"]
pub struct ModelCall {
    client: Client,
    call: CallOptions,
    model: String,
}

impl ModelCall {
    call_options!();

    /// Asks.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said.
    pub async fn send(self) -> Result<pb::Model, Error> {
        let request = pb::GetModelRequest { model: self.model };
        let until = self.client.until(&self.call);
        let answer = self
            .client
            .unary(&self.call, until, request, |transport, request: Request<_>| {
                let mut registry = self.client.registry(transport);
                async move { registry.get_model(request).await }
            })
            .await?;
        answer.model.ok_or(Error::Answer { part: "model" })
    }
}

/// Who and why, and bound to which state: of every change.
macro_rules! change_options {
    () => {
        /// Who asks. Kept in the audit trail.
        pub fn actor(mut self, actor: impl Into<String>) -> Self {
            self.request.actor = actor.into();
            self
        }

        /// Why. Kept in the audit trail.
        pub fn reason(mut self, reason: impl Into<String>) -> Self {
            self.request.reason = reason.into();
            self
        }

        /// Change only the state that has this etag; ABORTED if it has changed since.
        pub fn etag(mut self, etag: impl Into<String>) -> Self {
            self.request.etag = etag.into();
            self
        }

        /// Your own id of the change; without one, or with an empty one, it gets a fresh one: attempts
        /// must be told from changes. A repeat of it changes nothing.
        pub fn request_id(mut self, id: impl Into<String>) -> Self {
            let id = id.into();
            self.request.request_id = if id.is_empty() { fresh_id() } else { id };
            self
        }
    };
}

/// A call of `PromoteModelVersion` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is changed before send"]
pub struct PromoteCall {
    client: Client,
    call: CallOptions,
    request: pb::PromoteModelVersionRequest,
}

impl PromoteCall {
    call_options!();
    change_options!();

    /// Move this alias and not `champion`.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.request.alias = alias.into();
        self
    }

    /// Run every check, change nothing.
    pub fn validate_only(mut self) -> Self {
        self.request.validate_only = true;
        self
    }

    /// Promote although gates fail.
    pub fn override_gates(mut self) -> Self {
        self.request.override_gates = true;
        self
    }

    /// Asks. When this returns, the version is in service.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said; of a failed gate, each in
    /// [`preconditions`](crate::Failure::preconditions).
    pub async fn send(self) -> Result<pb::PromoteModelVersionResponse, Error> {
        let until = self.client.change_until(&self.call);
        self.client
            .unary(&self.call, until, self.request, |transport, request: Request<_>| {
                let mut registry = self.client.registry(transport);
                async move { registry.promote_model_version(request).await }
            })
            .await
    }
}

/// A call of `RollbackModel` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is changed before send"]
pub struct RollbackCall {
    client: Client,
    call: CallOptions,
    request: pb::RollbackModelRequest,
}

impl RollbackCall {
    call_options!();
    change_options!();

    /// Move this alias and not `champion`.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.request.alias = alias.into();
        self
    }

    /// Move it to this version, which it has pointed at before.
    pub fn to_version(mut self, version: i64) -> Self {
        self.request.to_version = Some(version);
        self
    }

    /// Asks. When this returns, the version is in service.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said.
    pub async fn send(self) -> Result<pb::RollbackModelResponse, Error> {
        let until = self.client.change_until(&self.call);
        self.client
            .unary(&self.call, until, self.request, |transport, request: Request<_>| {
                let mut registry = self.client.registry(transport);
                async move { registry.rollback_model(request).await }
            })
            .await
    }
}

/// A call of `SetModelAlias` in the making.
#[derive(Debug, Clone)]
#[must_use = "nothing is changed before send"]
pub struct SetAliasCall {
    client: Client,
    call: CallOptions,
    request: pb::SetModelAliasRequest,
}

impl SetAliasCall {
    call_options!();
    change_options!();

    /// Asks. When this returns, the version is in service.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said.
    pub async fn send(self) -> Result<pb::SetModelAliasResponse, Error> {
        let until = self.client.change_until(&self.call);
        self.client
            .unary(&self.call, until, self.request, |transport, request: Request<_>| {
                let mut registry = self.client.registry(transport);
                async move { registry.set_model_alias(request).await }
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_has_an_id_in_any_case() {
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        assert_eq!(client.promote("churn", 1).request_id("mine").request.request_id, "mine");
        let ids = [
            client.promote("churn", 1).request_id("").request.request_id,
            client.rollback("churn").request_id("").request.request_id,
            client.set_alias("churn", "next", 1).request_id("").request.request_id,
        ];
        assert!(ids.iter().all(|id| !id.is_empty()), "{ids:?}");
    }
}
