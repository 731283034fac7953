//! Compiles `proto/` without `protoc`, and keeps the descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const PROTO_ROOT: &str = "../../proto";
const PROTOS: [&str; 6] = [
    "segue/v1/schema.proto",
    "segue/v1/scoring.proto",
    "segue/v1/registry.proto",
    "segue/v1/admin.proto",
    "segue/v1/feedback.proto",
    "inference/grpc_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(PROTOS, [PROTO_ROOT])?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("segue_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Maps come in key order, so that what is made of them never depends on a hash.
        .btree_map(".")
        // Raw tensors are parts of the message they came in, not copies.
        .bytes(".inference")
        .codec_path("crate::codec::BoundedCodec")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .extern_path(".segue.v1.FeatureRow", "crate::FeatureRow")
        .extern_path(".segue.v1.NamedFeatures", "crate::NamedFeatures")
        .extern_path(".segue.v1.PackedFeatures", "crate::PackedFeatures")
        .compile_fds(descriptors)?;
    Ok(())
}
