//! The JSON mapping of protobuf, by the descriptors that reflection serves.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use segue_api::RpcStatus;
use segue_api::v1 as pb;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Reason, ServingError};

/// Messages of `proto/`.
fn messages() -> Option<&'static DescriptorPool> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(segue_api::FILE_DESCRIPTOR_SET).ok()).as_ref()
}

/// `google.rpc.Status` and what its details may hold.
fn errors() -> Option<&'static DescriptorPool> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).ok()).as_ref()
}

/// A fault of ours: the descriptors are part of the program.
fn described(
    pool: Option<&'static DescriptorPool>,
    name: &str,
) -> Result<MessageDescriptor, ServingError> {
    pool.and_then(|pool| pool.get_message_by_name(name)).ok_or(ServingError::Internal)
}

/// Reads a `ScoreRequest`: `camelCase` or `snake_case`, 64-bit integers as numbers or strings, "NaN".
/// A field that does not exist is an error, so that a slip of the pen does not change a score.
pub(super) fn read(body: &[u8]) -> Result<pb::ScoreRequest, ServingError> {
    let descriptor = described(messages(), "segue.v1.ScoreRequest")?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor, &mut reader, &options);
    let message = message.and_then(|message| reader.end().map(|()| message)).map_err(not_json)?;
    message.transcode_to().map_err(|_| ServingError::Internal)
}

/// Reads JSON that is not a message.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServingError> {
    serde_json::from_slice(body).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> ServingError {
    const MOST: usize = 300;
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().find(|(at, _)| *at >= MOST) {
        text.truncate(end);
    }
    ServingError::invalid("body", Reason::JsonInvalid, text)
}

/// Every field in `camelCase`, also those at zero: a score of 0 is not an absent score.
pub(super) fn score_response(message: &pb::ScoreResponse) -> Result<Vec<u8>, ServingError> {
    let options = SerializeOptions::new().skip_default_fields(false);
    write("segue.v1.ScoreResponse", message, &options)
}

/// Field names as in the proto and plain integers, as the Open Inference Protocol has them.
pub(super) fn plain(name: &str, message: &impl Message) -> Result<Vec<u8>, ServingError> {
    let options = SerializeOptions::new()
        .skip_default_fields(false)
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    write(name, message, &options)
}

fn write(
    name: &str,
    message: &impl Message,
    options: &SerializeOptions,
) -> Result<Vec<u8>, ServingError> {
    to_json(described(messages(), name)?, message, options).ok_or(ServingError::Internal)
}

fn to_json(
    descriptor: MessageDescriptor,
    message: &impl Message,
    options: &SerializeOptions,
) -> Option<Vec<u8>> {
    let message = DynamicMessage::decode(descriptor, &message.encode_to_vec()[..]).ok()?;
    let mut json = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), options).ok()?;
    Some(json)
}

/// An error with its details; its message under `error` as well if asked for. An error that cannot be
/// written is still one.
pub(super) fn status(status: &RpcStatus, with_error: bool) -> Vec<u8> {
    let full = described(errors(), "google.rpc.Status").ok();
    let full = full.and_then(|full| to_json(full, status, &SerializeOptions::new()));
    let full = full.and_then(|json| serde_json::from_slice(&json).ok());
    let mut full: Value =
        full.unwrap_or_else(|| json!({ "code": status.code, "message": status.message }));
    if let (true, Value::Object(fields)) = (with_error, &mut full) {
        fields.insert("error".to_owned(), Value::String(status.message.clone()));
    }
    full.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise every page would answer INTERNAL.
    #[test]
    fn the_descriptors_hold_what_is_written() {
        for name in ["segue.v1.ScoreRequest", "segue.v1.ScoreResponse", "inference.ModelConfig"] {
            assert!(described(messages(), name).is_ok(), "{name}");
        }
        for name in ["Status", "ErrorInfo", "BadRequest", "RetryInfo", "ResourceInfo"] {
            assert!(described(errors(), &format!("google.rpc.{name}")).is_ok(), "{name}");
        }
    }
}
