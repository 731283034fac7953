//! The codec of the services: protobuf, unless a message is more parts than content.
//!
//! An empty message takes two bytes on the wire and up to hundreds in memory, so four megabytes of empty
//! rows would be gigabytes before anybody can count them. Parts are counted on the wire first, without
//! making any.

use std::any::TypeId;
use std::collections::HashMap;

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{inference, v1};

/// Parts that any message may have.
const FREE_PARTS: usize = 16 << 10;

/// Bytes of a message for each part beyond: less than any that says something takes.
const BYTES_A_PART: usize = 8;

/// A field that can be repeated, and those of its own messages that can.
struct Field(u32, &'static [Field]);

const TRAITS: Field = Field(4, &[]);
const EVENTS: Field = Field(3, &[Field(1, &[Field(8, &[])]), Field(3, &[])]);
const ROW: &[Field] = &[EVENTS, TRAITS];
const SCORE: &[Field] = &[Field(1, &[]), Field(2, ROW)];
const STREAM: &[Field] = &[Field(2, SCORE)];
const OUTCOMES: &[Field] = &[Field(1, &[])];
const PARAMETERS: Field = Field(4, &[]);
const INFER: &[Field] =
    &[PARAMETERS, Field(5, &[PARAMETERS]), Field(6, &[Field(2, &[])]), Field(7, &[])];

/// The fields to count of a message; none of those that have no lists.
fn fields_of<T: 'static>() -> &'static [Field] {
    let of = TypeId::of::<T>();
    if of == TypeId::of::<v1::ScoreRequest>() || of == TypeId::of::<v1::ScoreBatchRequest>() {
        SCORE
    } else if of == TypeId::of::<v1::ScoreStreamRequest>() {
        STREAM
    } else if of == TypeId::of::<v1::BatchRecordOutcomesRequest>() {
        OUTCOMES
    } else if of == TypeId::of::<inference::ModelInferRequest>() {
        INFER
    } else {
        &[]
    }
}

/// Counts fields that can be repeated. What is no message is left to the decoder to refuse.
fn count_parts(mut bytes: &[u8], fields: &[Field]) -> usize {
    let mut n_parts = 0;
    let buf = &mut bytes;
    while !buf.is_empty() {
        let Ok((tag, wire_type)) = decode_key(buf) else { break };
        let n_bytes = match wire_type {
            WireType::LengthDelimited => decode_varint(buf).ok(),
            WireType::Varint => decode_varint(buf).ok().map(|_| 0),
            WireType::SixtyFourBit => Some(8),
            WireType::ThirtyTwoBit => Some(4),
            WireType::StartGroup | WireType::EndGroup => Some(0),
        };
        let n_bytes = n_bytes.and_then(|n_bytes| usize::try_from(n_bytes).ok());
        let Some((field, rest)) = n_bytes.and_then(|n_bytes| buf.split_at_checked(n_bytes)) else {
            break;
        };
        *buf = rest;
        if wire_type == WireType::LengthDelimited
            && let Some(Field(_, inner)) = fields.iter().find(|Field(known, _)| *known == tag)
        {
            n_parts += 1;
            if !inner.is_empty() {
                n_parts += count_parts(field, inner);
            }
        }
    }
    n_parts
}

fn check<T: 'static>(bytes: &[u8]) -> Result<(), Status> {
    // So few bytes cannot be too many parts.
    if bytes.len() <= 2 * FREE_PARTS {
        return Ok(());
    }
    let n_parts = count_parts(bytes, fields_of::<T>());
    let most = FREE_PARTS + bytes.len() / BYTES_A_PART;
    if n_parts <= most {
        return Ok(());
    }
    let message = format!(
        "{n_parts} rows, events, properties and the like in {} bytes, at most {most} are read: most \
         of them are empty",
        bytes.len()
    );
    let details = ErrorDetails::with_error_info("FIELD_INVALID", "segue", HashMap::new());
    Err(Status::with_error_details(tonic::Code::InvalidArgument, message, details))
}

/// Protobuf, but for messages of empty parts: those are INVALID_ARGUMENT.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(self.0.decoder())
    }
}

/// What reads for a [`BoundedCodec`].
#[derive(Debug, Clone, Default)]
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + Send + 'static> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message lies in one piece.
        check::<U>(buf.chunk())?;
        self.0.decode(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: Message + 'static>(message: &T) -> Result<(), String> {
        check::<T>(&message.encode_to_vec()).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn empty_parts_are_refused_before_they_are_made() {
        let batch = v1::ScoreBatchRequest {
            rows: vec![v1::FeatureRow::default(); 400_000],
            ..Default::default()
        };
        let refused = told(&batch).unwrap_err();
        assert!(refused.starts_with("400000 rows"), "{refused}");
        let history =
            v1::EventHistory { events: vec![v1::Event::default(); 400_000], ..Default::default() };
        let row = v1::FeatureRow {
            features: Some(v1::feature_row::Features::Events(history)),
            ..Default::default()
        };
        let request = v1::ScoreRequest { row: Some(row), ..Default::default() };
        let refused = told(&request).unwrap_err();
        // The row, its history, its events.
        assert!(refused.starts_with("400002 rows"), "{refused}");
        let stream = v1::ScoreStreamRequest { sequence: 1, request: Some(request) };
        assert!(told(&stream).unwrap_err().starts_with("400003 rows"));
        let outcomes = vec![v1::Outcome::default(); 100_000];
        told(&v1::BatchRecordOutcomesRequest { outcomes, ..Default::default() }).unwrap_err();
        let input = inference::model_infer_request::InferInputTensor::default();
        let infer =
            inference::ModelInferRequest { inputs: vec![input; 100_000], ..Default::default() };
        told(&infer).unwrap_err();
    }

    #[test]
    fn short_rows_and_events_are_read() {
        let event = |n: usize| v1::Event {
            name: "login".to_owned(),
            event_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            properties: [(
                format!("k{n}"),
                v1::PropertyValue { kind: Some(v1::property_value::Kind::Flag(true)) },
            )]
            .into(),
            ..Default::default()
        };
        let history =
            v1::EventHistory { events: (0..100_000).map(event).collect(), ..Default::default() };
        let row = v1::FeatureRow {
            features: Some(v1::feature_row::Features::Events(history)),
            ..Default::default()
        };
        told(&v1::ScoreRequest { row: Some(row), ..Default::default() }).unwrap();
        let named = v1::NamedFeatures::from_iter([(
            "a",
            v1::FeatureValue { kind: Some(v1::feature_value::Kind::Flag(true)) },
        )]);
        let row = v1::FeatureRow {
            features: Some(v1::feature_row::Features::Named(named)),
            ..Default::default()
        };
        told(&v1::ScoreBatchRequest { rows: vec![row; 200_000], ..Default::default() }).unwrap();
    }

    #[test]
    fn bytes_that_are_no_message_are_left_to_the_decoder() {
        for bytes in [&[0xFF_u8; 100_000][..], &[0x12; 100_000], &[0x0B; 100_000]] {
            check::<v1::ScoreBatchRequest>(bytes).unwrap_or_default();
        }
    }
}
