//! `segue.v1.FeatureRow`, of which a batch has a thousand.
//!
//! As generated, but for named features: those are taken as one piece of bytes, not value by value.

use std::collections::BTreeMap;

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, message};
use prost::{DecodeError, Message};

use self::feature_row::Features;
use crate::v1::{EventHistory, PropertyValue};
use crate::{NamedFeatures, PackedFeatures};

/// What is known of one user.
#[derive(Clone, PartialEq, Message)]
pub struct FeatureRow {
    /// Facts that segments ask for; models do not see them.
    #[prost(btree_map = "string, message", tag = "4")]
    pub traits: BTreeMap<String, PropertyValue>,
    /// Whom the row is about, in the caller's own terms. Never in logs or metrics; in the prediction
    /// log only if the operator says so. At most 1024 bytes.
    #[prost(string, tag = "5")]
    pub subject_id: String,
    /// What the split of the traffic hashes, so that the same key always meets the same version; empty:
    /// `subject_id`. A row without either is the champion's. At most 1024 bytes.
    #[prost(string, tag = "6")]
    pub routing_key: String,
    /// The features, in one of three forms.
    #[prost(oneof = "Features", tags = "1, 2, 3")]
    pub features: Option<Features>,
}

/// The forms of features of a [`FeatureRow`].
pub mod feature_row {
    use super::{EventHistory, NamedFeatures, PackedFeatures};

    /// Features in one of three forms.
    #[derive(Debug, Clone, PartialEq)]
    pub enum Features {
        /// Values by name.
        Named(NamedFeatures),
        /// Values by position, for the schema of a digest.
        Packed(PackedFeatures),
        /// What the features are computed from.
        Events(EventHistory),
    }
}

/// What a derived `oneof` has.
impl Features {
    pub(crate) fn encode(&self, buf: &mut impl BufMut) {
        match self {
            Self::Named(named) => message::encode(1, named, buf),
            Self::Packed(packed) => message::encode(2, packed, buf),
            Self::Events(events) => message::encode(3, events, buf),
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Named(named) => message::encoded_len(1, named),
            Self::Packed(packed) => message::encoded_len(2, packed),
            Self::Events(events) => message::encoded_len(3, events),
        }
    }

    /// Of several forms the last counts; of one form in several parts, all of them do.
    pub(crate) fn merge(
        features: &mut Option<Self>,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut read = match (tag, features.take()) {
            (1, Some(same @ Self::Named(_)))
            | (2, Some(same @ Self::Packed(_)))
            | (3, Some(same @ Self::Events(_))) => same,
            (1, _) => Self::Named(NamedFeatures::default()),
            (2, _) => Self::Packed(PackedFeatures::default()),
            _ => Self::Events(EventHistory::default()),
        };
        match &mut read {
            Self::Named(named) => named.merge_part(wire_type, buf, ctx)?,
            Self::Packed(packed) => message::merge(wire_type, packed, buf, ctx)?,
            Self::Events(events) => message::merge(wire_type, events, buf, ctx)?,
        }
        *features = Some(read);
        Ok(())
    }
}
