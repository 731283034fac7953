//! Messages, clients and servers of `segue.v1` and of the Open Inference Protocol: generated from
//! `proto/`, but for rows and their features, which are read for every score, and the codec that reads them
//! all.

mod codec;
mod named;
mod packed;
mod row;

/// Package `segue.v1`.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::missing_errors_doc,
        reason = "generated; documented in the proto files"
    )]
    #![allow(
        rustdoc::broken_intra_doc_links,
        rustdoc::invalid_html_tags,
        reason = "proto comments are not Rust documentation"
    )]
    tonic::include_proto!("segue.v1");

    pub use crate::{FeatureRow, NamedFeatures, NamedValue, PackedFeatures, feature_row};
}

/// Package `inference`: the Open Inference Protocol, version 2.
pub mod inference {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::missing_errors_doc,
        reason = "generated; documented in the proto files"
    )]
    #![allow(
        rustdoc::broken_intra_doc_links,
        rustdoc::invalid_html_tags,
        reason = "proto comments are not Rust documentation"
    )]
    tonic::include_proto!("inference");
}

pub use self::codec::{BoundedCodec, BoundedDecoder};
pub use self::named::{Name, NamedFeatures, NamedValue};
pub use self::packed::PackedFeatures;
pub use self::row::{FeatureRow, feature_row};
pub use tonic_types::pb::Status as RpcStatus;

/// Descriptors of every file of `proto/`, encoded, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/segue_descriptor.bin"));
