//! A version that comes over the wire, for pipelines without access to the registry's storage.

use segue_api::v1 as pb;
use segue_api::v1::register_model_version_request::Part;
use segue_registry::{PublishRequest, Registry, RegistryError, Upload};
use tonic::{Status, Streaming};

use super::ModelRegistry;
use super::checks::Check;
use crate::access::Caller;
use crate::guard::{Deadline, Standing};
use crate::to_proto::model_version;
use crate::{Reason, ServingError};

impl ModelRegistry {
    /// Takes the upload, verifies it as a whole, publishes it, and knows of it when this returns.
    pub(super) async fn register(
        &self,
        mut parts: Streaming<pb::RegisterModelVersionRequest>,
        (caller, standing): (Caller, Option<Standing>),
        deadline: Deadline,
    ) -> Result<pb::RegisterModelVersionResponse, Status> {
        if self.max_upload_bytes == 0 {
            let what = "this server takes no uploads; publish where the registry is";
            return Err(ServingError::Unimplemented { what }.into());
        }
        let _permit = self.limits.enter_upload()?;
        let deadline = deadline.capped(Some(self.max_upload_time));
        let first = self.next(&mut parts, deadline).await?;
        let Some(Part::Header(mut header)) = first else {
            let description = "the first message is the header, and it comes once";
            return Err(ServingError::invalid("part", Reason::UploadInvalid, description).into());
        };
        caller.check_publisher(&header.model)?;
        header.actor = caller.actor(header.actor);
        Check::default()
            .model(&header.model)
            .texts([
                ("request_id", &header.request_id),
                ("actor", &header.actor),
                ("reason", &header.reason),
            ])
            .end()?;
        let mut upload = Upload::begin(&header.model, &header.manifest, self.max_upload_bytes)
            .map_err(ServingError::from)?;
        while let Some(part) = self.next(&mut parts, deadline).await? {
            let Part::Piece(piece) = part else {
                let description = "the header comes once, then pieces of files";
                let error = ServingError::invalid("part", Reason::UploadInvalid, description);
                return Err(error.into());
            };
            upload.add(&piece.file, &piece.data).map_err(ServingError::from)?;
        }
        // For which models it may, could have changed while the pieces came.
        if let Some(standing) = standing {
            standing.caller()?.check_publisher(&header.model)?;
        }
        Ok(self.publish(header, upload).await?)
    }

    /// The next message, `None` after the last.
    async fn next(
        &self,
        parts: &mut Streaming<pb::RegisterModelVersionRequest>,
        deadline: Deadline,
    ) -> Result<Option<Part>, Status> {
        let mut closing = self.closing.clone();
        let message = tokio::select! {
            biased;
            message = parts.message() => message?,
            () = tokio::time::sleep_until(deadline.0) => {
                return Err(ServingError::DeadlineExceeded.into());
            }
            _ = closing.wait_for(|closing| *closing) => {
                return Err(ServingError::Draining.into());
            }
        };
        // What is sent without a pause must not outlive its deadline either.
        deadline.check()?;
        match message {
            None => Ok(None),
            Some(pb::RegisterModelVersionRequest { part: Some(part) }) => Ok(Some(part)),
            Some(pb::RegisterModelVersionRequest { part: None }) => {
                let description = "an empty message; send a header or a piece";
                Err(ServingError::invalid("part", Reason::UploadInvalid, description).into())
            }
        }
    }

    async fn publish(
        &self,
        header: pb::RegisterModelVersionHeader,
        upload: Upload,
    ) -> Result<pb::RegisterModelVersionResponse, ServingError> {
        let validate_only = header.validate_only;
        let model = header.model.clone();
        let published = self.ask(move |registry: &Registry| {
            let draft = upload.finish(&header.actor)?;
            let published = registry.publish_with(PublishRequest {
                draft: &draft,
                request_id: &header.request_id,
                reason: &header.reason,
                validate_only,
            })?;
            let there = published.existed || !validate_only;
            let found = there.then(|| {
                let archived = registry.model(&draft.model)?.archived;
                let manifest = registry.manifest(&draft.model, published.version)?;
                Ok::<_, RegistryError>((archived.contains(&manifest.version), manifest))
            });
            Ok::<_, RegistryError>((found.transpose()?, published.existed))
        });
        let (found, existed) = published.await?;
        if !validate_only {
            self.in_service(&model, Vec::new()).await?;
        }
        let statuses = self.live.status.newest();
        let model_version =
            found.map(|(archived, manifest)| model_version(manifest, archived, &statuses));
        Ok(pb::RegisterModelVersionResponse { model_version, existed })
    }
}
