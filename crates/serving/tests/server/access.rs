//! Who may do what, through real sockets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use segue_serving::{AccessOptions, NetOptions, ServeOptions, new_access_key};
use serde_json::json;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::harness::*;
use crate::pki::*;

const ROLES: [&str; 6] = ["viewer", "scorer", "feedback", "publisher", "promoter", "admin"];

/// Keys by the names of their holders, and the file that lets them in.
pub(crate) struct Keys {
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) file: String,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { keys: BTreeMap::new(), file: "version = 1\n".to_owned() }
    }

    pub(crate) fn with(mut self, name: &str, roles: &[&str]) -> Self {
        let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
        let key = new_access_key(name, &roles, None).unwrap();
        self.keys.insert(name.to_owned(), key.key);
        self.file.push_str(&key.entry);
        self
    }

    /// Every role by its name.
    fn of_every_role() -> Self {
        ROLES.iter().fold(Self::new(), |keys, role| keys.with(role, &[role]))
    }
}

pub(crate) fn guarded(folder: &Path, file: &str) -> ServeOptions {
    let path = folder.join("access.toml");
    std::fs::write(&path, file).unwrap();
    let access = AccessOptions {
        file: Some(path),
        open_metrics: true,
        reload_interval: Duration::from_secs(3600),
        ..AccessOptions::default()
    };
    ServeOptions { access, ..quick() }
}

async fn server_with(file: &str) -> TestServer {
    let (folder, registry) = prepared();
    let options = guarded(folder.path(), file);
    let server = TestServer::over(folder, registry, options).await;
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    server.wait_for_health("", serving).await;
    server.wait_for_health("model/visits", serving).await;
    server
}

pub(crate) fn bearing<T>(credential: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(credential) = credential {
        let value: MetadataValue<_> = format!("Bearer {credential}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

async fn score_as(server: &TestServer, credential: Option<&str>) -> Result<(), Status> {
    let asked = bearing(credential, request(&["churn"], good_row()));
    ScoringServiceClient::new(server.channel.clone()).score(asked).await.map(drop)
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_error_details().error_info().expect("a reason").reason.clone()
}

fn promotion(model: &str, alias: &str) -> pb::PromoteModelVersionRequest {
    pb::PromoteModelVersionRequest {
        model: model.to_owned(),
        version: 1,
        alias: alias.to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn until_reloaded(server: &TestServer, result: &str, n_times: usize) {
    let line = format!("segue_reloads_total{{what=\"access\",result=\"{result}\"}} {n_times}\n");
    let asked = async { while !server.get("/metrics").await.1.contains(&line) {} };
    tokio::time::timeout(PATIENCE, asked).await.expect(&line);
}

/// Who may call a method: nobody in particular, anybody known, or holders of a role.
fn who_may_call(service: &str, method: &str) -> &'static str {
    match (service.rsplit('.').next().unwrap(), method) {
        ("Health", _) | (_, "ServerLive" | "ServerReady" | "ModelReady") => "everybody",
        ("ServerReflection", _) => "known",
        ("ScoringService", "GetModelSchema") => "known",
        ("ScoringService", "Score" | "ScoreBatch" | "ScoreStream") => "scorer",
        ("GRPCInferenceService", "ModelInfer" | "ModelStreamInfer") => "scorer",
        ("GRPCInferenceService", "ServerMetadata" | "ModelMetadata" | "ModelConfig") => "known",
        ("GRPCInferenceService", "ModelStatistics" | "RepositoryIndex") => "viewer",
        ("GRPCInferenceService", "RepositoryModelLoad" | "RepositoryModelUnload") => "admin",
        ("ModelRegistryService", method) if method.starts_with("List") => "viewer",
        ("ModelRegistryService", method) if method.starts_with("Get") => "viewer",
        ("ModelRegistryService", "WatchModels") => "viewer",
        (
            "ModelRegistryService",
            "PromoteModelVersion"
            | "RollbackModel"
            | "SetModelAlias"
            | "DeleteModelAlias"
            | "UpdateTrafficPolicy"
            | "ValidateModelVersion"
            | "ApproveModelVersion",
        ) => "promoter",
        (
            "ModelRegistryService",
            "RegisterModelVersion" | "ArchiveModelVersion" | "RestoreModelVersion",
        ) => "publisher",
        ("FeedbackService", "RecordOutcome" | "BatchRecordOutcomes" | "StreamOutcomes") => {
            "feedback"
        }
        ("FeedbackService", method) if method.starts_with("Get") => "viewer",
        ("AdminService", "GetServerStatus" | "ListLoadedVersions") => "viewer",
        ("AdminService", _) => "admin",
        (service, method) => panic!("{service}.{method}: say here who may call it"),
    }
}

/// Every method of every service that the server tells of.
fn methods() -> Vec<(String, String)> {
    let sets = [segue_api::FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let files = sets.map(|set| prost_types::FileDescriptorSet::decode(set).unwrap());
    let mut methods = Vec::new();
    for file in files.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            for method in &service.method {
                let service = format!("{}.{}", file.package(), service.name());
                methods.push((service, method.name().to_owned()));
            }
        }
    }
    for version in ["v1", "v1alpha"] {
        let service = format!("grpc.reflection.{version}.ServerReflection");
        methods.push((service, "ServerReflectionInfo".to_owned()));
    }
    methods
}

/// Calls a method with an empty message, and gives the code of its refusal or failure.
async fn call(server: &TestServer, path: &str, credential: Option<&str>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let request = bearing(credential, tokio_stream::once(()));
    client.streaming(request, PathAndQuery::try_from(path).unwrap(), codec).await.map(drop)
}

#[tokio::test]
async fn every_role_may_call_its_methods_and_no_others() {
    let keys = Keys::of_every_role();
    let server = server_with(&keys.file).await;
    let methods = methods();
    assert!(methods.len() >= 29, "{}", methods.len());
    for (service, method) in methods {
        let path = format!("/{service}/{method}");
        let needed = who_may_call(&service, &method);
        match call(&server, &path, None).await {
            Err(status) if status.code() == Code::Unauthenticated => {
                assert_ne!(needed, "everybody", "{path}");
                assert_eq!(reason(&status), "CREDENTIALS_ABSENT", "{path}");
                let asks = status.metadata().get("www-authenticate").unwrap();
                assert_eq!(asks, "Bearer realm=\"segue\"");
            }
            _ => assert_eq!(needed, "everybody", "{path} without credentials"),
        }
        for role in ROLES {
            let may = ["everybody", "known", role].contains(&needed) || role == "admin";
            let code = call(&server, &path, Some(&keys.keys[role])).await.err().map(|status| {
                if status.code() == Code::PermissionDenied {
                    let details = status.get_error_details();
                    let info = details.error_info().unwrap();
                    assert_eq!(info.reason, "ROLE_MISSING");
                    assert_eq!(info.metadata["role"], needed, "{path}");
                    assert_eq!(info.metadata["caller"], format!("key:{role}"));
                }
                status.code()
            });
            let is_refused = matches!(code, Some(Code::PermissionDenied | Code::Unauthenticated));
            assert_eq!(is_refused, !may, "{path} as {role}: {code:?}");
        }
    }
}

#[tokio::test]
async fn promoters_and_publishers_are_for_their_models_and_aliases() {
    let keys = Keys::new()
        .with("narrow", &["promoter:chu*@{staging,test-*}"])
        .with("model", &["promoter:churn"])
        .with("elsewhere", &["promoter:other@staging", "promoter:visits"])
        .with("wide", &["promoter"])
        .with("admin", &["admin"]);
    let server = server_with(&keys.file).await;
    for (who, model, alias, may) in [
        ("narrow", "churn", "staging", true),
        ("narrow", "churn", "test-7", true),
        ("narrow", "churn", "champion", false),
        // The champion, if nothing is said.
        ("narrow", "churn", "", false),
        ("narrow", "visits", "staging", false),
        ("model", "churn", "champion", true),
        ("model", "visits", "champion", false),
        ("elsewhere", "churn", "staging", false),
        ("elsewhere", "visits", "champion", true),
        ("wide", "visits", "champion", true),
        ("admin", "churn", "champion", true),
    ] {
        let key = Some(keys.keys[who].as_str());
        let mut models = ModelRegistryServiceClient::new(server.channel.clone());
        let promoted = models.promote_model_version(bearing(key, promotion(model, alias))).await;
        let rolled_back = models
            .rollback_model(bearing(
                key,
                pb::RollbackModelRequest {
                    model: model.to_owned(),
                    alias: alias.to_owned(),
                    ..Default::default()
                },
            ))
            .await;
        let set = models
            .set_model_alias(bearing(
                key,
                pb::SetModelAliasRequest {
                    model: model.to_owned(),
                    alias: alias.to_owned(),
                    version: 1,
                    ..Default::default()
                },
            ))
            .await;
        let mut codes = vec![promoted.map(drop), rolled_back.map(drop)];
        // An alias must be named there.
        if !alias.is_empty() {
            codes.push(set.map(drop));
        }
        for answer in codes {
            let refused = answer.as_ref().is_err_and(|s| s.code() == Code::PermissionDenied);
            assert_eq!(refused, !may, "{who} {model}@{alias}: {answer:?}");
        }
    }
    // Traffic is of a model as a whole: some of its aliases are not enough.
    for (who, may) in [("narrow", false), ("model", true), ("elsewhere", false)] {
        let request =
            pb::UpdateTrafficPolicyRequest { model: "churn".to_owned(), ..Default::default() };
        let mut models = ModelRegistryServiceClient::new(server.channel.clone());
        let answer = models.update_traffic_policy(bearing(Some(&keys.keys[who]), request)).await;
        let refused = answer.as_ref().is_err_and(|s| s.code() == Code::PermissionDenied);
        assert_eq!(refused, !may, "{who}: {answer:?}");
    }
}

#[tokio::test]
async fn only_admins_override_gates_and_the_trail_names_who_it_was() {
    let keys = Keys::new().with("ada", &["promoter", "viewer"]).with("root", &["admin"]);
    let server = server_with(&keys.file).await;
    let mut models = ModelRegistryServiceClient::new(server.channel.clone());
    let mut promotion = promotion("churn", "champion");
    promotion.version = 2;
    promotion.override_gates = true;
    promotion.actor = "bob".to_owned();
    let asked = bearing(Some(&keys.keys["ada"]), promotion.clone());
    let status = models.promote_model_version(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("admin to override gates"), "{status:?}");
    let traffic = pb::UpdateTrafficPolicyRequest {
        model: "churn".to_owned(),
        override_gates: true,
        ..Default::default()
    };
    let asked = bearing(Some(&keys.keys["ada"]), traffic);
    let status = models.update_traffic_policy(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    models.promote_model_version(bearing(Some(&keys.keys["root"]), promotion)).await.unwrap();
    let rollback = pb::RollbackModelRequest { model: "churn".to_owned(), ..Default::default() };
    models.rollback_model(bearing(Some(&keys.keys["ada"]), rollback)).await.unwrap();
    let events = pb::ListModelEventsRequest { model: "churn".to_owned(), ..Default::default() };
    let events = models.list_model_events(bearing(Some(&keys.keys["ada"]), events)).await.unwrap();
    let actors: Vec<_> = events.into_inner().events.into_iter().map(|event| event.actor).collect();
    assert_eq!(actors[..2], ["key:ada", "key:root (for bob)"]);
}

#[tokio::test]
async fn what_is_shown_must_be_good() {
    let keys = Keys::new().with("back-end", &["scorer"]);
    let expired = new_access_key("old", &["scorer".to_owned()], Some("2020-01-31T00:00:00Z"));
    let expired = expired.unwrap();
    let later = new_access_key("new", &["scorer".to_owned()], Some("2999-01-31T00:00:00+02:00"));
    let later = later.unwrap();
    let server = server_with(&[&keys.file[..], &expired.entry, &later.entry].concat()).await;
    let good = &keys.keys["back-end"];
    score_as(&server, Some(good)).await.unwrap();
    score_as(&server, Some(&later.key)).await.unwrap();
    for (shown, expected) in [
        (&expired.key[..], "KEY_EXPIRED"),
        (&good[..good.len() - 1], "KEY_UNKNOWN"),
        (&good.to_uppercase(), "KEY_UNKNOWN"),
        ("", "KEY_UNKNOWN"),
        ("a.b.c", "TOKEN_INVALID"),
    ] {
        let status = score_as(&server, Some(shown)).await.unwrap_err();
        assert_eq!((status.code(), &reason(&status)[..]), (Code::Unauthenticated, expected));
        assert!(!status.message().contains(good.as_str()));
        let asks = status.metadata().get("www-authenticate").unwrap();
        assert_eq!(asks, "Bearer realm=\"segue\", error=\"invalid_token\"");
    }
    for header in ["Basic c2VndWU6c2VndWU=", "Bearer", good] {
        let mut asked = Request::new(request(&["churn"], good_row()));
        asked.metadata_mut().insert("authorization", header.parse().unwrap());
        let status = server.scoring().score(asked).await.unwrap_err();
        assert_eq!(reason(&status), "CREDENTIALS_INVALID", "{header}");
    }
    let mut twice = bearing(Some(good), request(&["churn"], good_row()));
    twice.metadata_mut().append("authorization", format!("Bearer {good}").parse().unwrap());
    let status = server.scoring().score(twice).await.unwrap_err();
    assert_eq!(reason(&status), "CREDENTIALS_INVALID");
    let page = server.get("/metrics").await.1;
    let line = "segue_access_denied_total{reason=\"KEY_UNKNOWN\",method=\"Score\"} 3\n";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn keys_rotate_without_a_restart_and_a_broken_file_changes_nothing() {
    let old = Keys::new().with("back-end", &["scorer"]);
    let new = Keys::new().with("back-end", &["scorer"]);
    let (old_key, new_key) = (&old.keys["back-end"], &new.keys["back-end"]);
    let (folder, registry) = prepared();
    let options = guarded(folder.path(), &old.file);
    let (path, reload) = (options.access.file.clone().unwrap(), options.access.reload.clone());
    let server = TestServer::over(folder, registry, options).await;
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    server.wait_for_health("", serving).await;
    score_as(&server, Some(old_key)).await.unwrap();
    assert_eq!(reason(&score_as(&server, Some(new_key)).await.unwrap_err()), "KEY_UNKNOWN");
    let both = format!("{}{}", old.file, new.file.strip_prefix("version = 1\n").unwrap());
    std::fs::write(&path, both).unwrap();
    reload.now();
    until_reloaded(&server, "ok", 1).await;
    score_as(&server, Some(old_key)).await.unwrap();
    score_as(&server, Some(new_key)).await.unwrap();
    for (n_failed, broken) in [
        "version = 2\n",
        "version = 1\n[[key]]\nname = \"a\"\nsha256 = \"12\"\nroles = [\"scorer\"]\n",
        "version = 1\n[[key]]\nname = \"a\"\nroles = []\n",
        "version = 1\nkeys = []\n",
    ]
    .iter()
    .enumerate()
    {
        std::fs::write(&path, broken).unwrap();
        reload.now();
        until_reloaded(&server, "failed", n_failed + 1).await;
        score_as(&server, Some(new_key)).await.expect("the last good file is in force");
    }
    std::fs::write(&path, &new.file).unwrap();
    reload.now();
    until_reloaded(&server, "ok", 2).await;
    // On the connection that was let in with it.
    assert_eq!(reason(&score_as(&server, Some(old_key)).await.unwrap_err()), "KEY_UNKNOWN");
    score_as(&server, Some(new_key)).await.unwrap();
}

const NOW_AND_LATER: i64 = 32_503_593_600;

pub(crate) fn claims() -> serde_json::Value {
    json!({
        "iss": "https://id.test", "aud": ["segue", "other"], "sub": "alice",
        "exp": NOW_AND_LATER, "roles": ["scorer", "nothing-here"],
    })
}

fn part(json: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

pub(crate) fn token(
    header: &serde_json::Value,
    claims: &serde_json::Value,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub(crate) fn ed25519() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

fn p256() -> EcdsaKeyPair {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
}

pub(crate) fn ed25519_jwk(id: &str, key: &Ed25519KeyPair) -> serde_json::Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": x})
}

/// A token of an issuer with a 2048-bit RSA key, whose private part was thrown away after it.
const RSA_TOKEN: &str = "\
    eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkLnRlc3QiLCJhdWQiOiJzZWd1ZSI\
    sInN1YiI6ImFsaWNlIiwiZXhwIjozMjUwMzU5MzYwMCwicm9sZXMiOiJzY29yZXIifQ.tL6VyGEuEKNRJumMFMLQ\
    mWDcmB0zjNH64blot4e0uB9mgqGPSayJtUUEjwH1wtnR8CaYyfhG-wH0sObDR1uxaCtA_1fXH6pBGyJp0X6pI2Eh\
    G9AEeBsAl8ju9nOwhGGgXYQcga1jFopNczfp7_0VyIQ8COS8zietnwQKDLh1yiqGeophb6Je6yzcwL5DIDoehNgx\
    JqywepesIh-DOlFaTnBM2Lh_-cDe0-AGJYWGQB7FPC343Pc6Pq9oOt2dxGfK9pEFkIXVD1gP310_73ILgfu6K5lx\
    TNzOkDVfbJ3sGP9rfVRXEEyH9aSg0ICLJDFqIlPKOVQDApoDXKL818hYTQ\
";

const RSA_MODULUS: &str = "\
    vyhns-Ghan4PDRNRxnGY_luKF5yA5uBRzDtfA2CMROGJ-tX5ZBz-mEFzwur66yLBX98vdL0GvGTuPGG1uluIJVRg\
    Pm_08nqUB2eJBNyA7GUf6bf6lvtI5oVl5VzoQyp-qgUZxBExfU90j8qBYwW7NM9oABDIcPQGV2_rMMIXx6oiWA2u\
    zdrlSVeucRYcRTnhDNzD9aMbT-o8Na2gjm4kWVWGPU0hgRWt9kP7aKmE_78psV03d9nyIrD4qByXPTekeamFrMSu\
    4ClXKXaMyQjZz3r0PglGhXcPIjnuSd8KEW16XsO_9B_EPPwT26K2nTY7_z0_YaEPeyi0JicLTRerLw\
";

pub(crate) const JWT: &str = "version = 1\n[jwt]\njwks = \"jwks.json\"\nissuer = \"https://id.test\"\n\
                   audience = [\"segue\"]\n";

#[tokio::test]
async fn tokens_are_taken_only_as_their_issuer_made_them() {
    let (ed, another, ec) = (ed25519(), ed25519(), p256());
    let point = ec.public_key().as_ref();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key_set = json!({"keys": [
        ed25519_jwk("ed", &ed),
        {"kty": "EC", "crv": "P-256", "kid": "ec",
         "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])},
        {"kty": "RSA", "kid": "rsa", "alg": "RS256", "e": "AQAB", "n": RSA_MODULUS},
        // For encryption, and of a kind that nobody knows: both passed over.
        {"kty": "OKP", "crv": "X25519", "use": "enc", "kid": "enc", "x": "AAAA"},
    ]});
    let (folder, registry) = prepared();
    std::fs::write(folder.path().join("jwks.json"), key_set.to_string()).unwrap();
    let options = guarded(folder.path(), JWT);
    let reload = options.access.reload.clone();
    let server = TestServer::over(folder, registry, options).await;
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    server.wait_for_health("", serving).await;

    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "ed"});
    let by_ed = |message: &[u8]| ed.sign(message).as_ref().to_vec();
    let good = token(&header, &claims(), by_ed);
    // Twice: the second time it is known.
    for _ in 0..2 {
        score_as(&server, Some(&good)).await.unwrap();
    }
    let by_ec = |message: &[u8]| ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    let of_ec = token(&json!({"alg": "ES256", "kid": "ec"}), &claims(), by_ec);
    score_as(&server, Some(&of_ec)).await.unwrap();
    score_as(&server, Some(RSA_TOKEN)).await.unwrap();

    let with = |name: &str, value: serde_json::Value| {
        let mut changed = claims();
        changed[name] = value;
        token(&header, &changed, by_ed)
    };
    let without = |name: &str| {
        let mut changed = claims();
        changed.as_object_mut().unwrap().remove(name);
        token(&header, &changed, by_ed)
    };
    let by_another = |message: &[u8]| another.sign(message).as_ref().to_vec();
    let with_public_key = |message: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, ed.public_key().as_ref());
        ring::hmac::sign(&key, message).as_ref().to_vec()
    };
    let [head, body, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut other_body = claims();
    other_body["roles"] = json!("admin");
    for (what, shown, expected) in [
        ("expired", with("exp", json!(1_600_000_000)), "TOKEN_EXPIRED"),
        ("not yet", with("nbf", json!(NOW_AND_LATER)), "TOKEN_INVALID"),
        ("wrong aud", with("aud", json!("somebody else")), "TOKEN_INVALID"),
        ("wrong iss", with("iss", json!("https://evil.test")), "TOKEN_INVALID"),
        ("exp as text", with("exp", json!("tomorrow")), "TOKEN_INVALID"),
        ("no exp", without("exp"), "TOKEN_INVALID"),
        ("no aud", without("aud"), "TOKEN_INVALID"),
        ("no iss", without("iss"), "TOKEN_INVALID"),
        ("no sub", without("sub"), "TOKEN_INVALID"),
        ("another's key", token(&header, &claims(), by_another), "TOKEN_INVALID"),
        ("alg none", token(&json!({"alg": "none"}), &claims(), |_| Vec::new()), "TOKEN_INVALID"),
        (
            "the public key as a secret",
            token(&json!({"alg": "HS256", "kid": "ed"}), &claims(), with_public_key),
            "TOKEN_KEY_UNKNOWN",
        ),
        (
            "a key of another kind",
            token(&json!({"alg": "EdDSA", "kid": "ec"}), &claims(), by_ed),
            "TOKEN_KEY_UNKNOWN",
        ),
        (
            "no such key",
            token(&json!({"alg": "EdDSA", "kid": "gone"}), &claims(), by_ed),
            "TOKEN_KEY_UNKNOWN",
        ),
        ("other claims", format!("{head}.{}.{signature}", part(&other_body)), "TOKEN_INVALID"),
        ("no signature", format!("{head}.{body}."), "TOKEN_INVALID"),
        ("no token", "..".to_owned(), "TOKEN_INVALID"),
    ] {
        let status = score_as(&server, Some(&shown)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status:?}");
        assert_eq!(reason(&status), expected, "{what}: {status:?}");
    }
    let status = score_as(&server, Some(&without("roles"))).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().starts_with("jwt:alice lacks the role scorer"), "{status:?}");

    // The issuer withdraws the key: what was known is forgotten.
    let key_set = json!({"keys": [ed25519_jwk("next", &another)]});
    std::fs::write(server.folder.path().join("jwks.json"), key_set.to_string()).unwrap();
    reload.now();
    until_reloaded(&server, "ok", 1).await;
    assert_eq!(reason(&score_as(&server, Some(&good)).await.unwrap_err()), "TOKEN_KEY_UNKNOWN");
    let next = token(&json!({"alg": "EdDSA", "kid": "next"}), &claims(), by_another);
    score_as(&server, Some(&next)).await.unwrap();
    // Without a key id, the only key it can be is meant.
    let next = token(&json!({"alg": "EdDSA"}), &claims(), by_another);
    score_as(&server, Some(&next)).await.unwrap();
}

#[tokio::test]
async fn groups_of_an_issuer_become_roles() {
    let ed = ed25519();
    let file = format!(
        "{JWT}roles_claim = \"realm.groups\"\nname_claim = \"email\"\n[jwt.roles]\n\
         \"ml platform\" = [\"viewer\", \"promoter:churn@staging\"]\n\"apps\" = [\"scorer\"]\n"
    );
    let (folder, registry) = prepared();
    let key_set = json!({"keys": [ed25519_jwk("ed", &ed)]});
    std::fs::write(folder.path().join("jwks.json"), key_set.to_string()).unwrap();
    let options = guarded(folder.path(), &file);
    let server = TestServer::over(folder, registry, options).await;
    let mut said = claims();
    said["email"] = json!("ada@example.org");
    said["realm"] = json!({"groups": ["ml platform", "admin"]});
    let header = json!({"alg": "EdDSA"});
    let shown = token(&header, &said, |message| ed.sign(message).as_ref().to_vec());
    let mut models = ModelRegistryServiceClient::new(server.channel.clone());
    models.list_models(bearing(Some(&shown), pb::ListModelsRequest::default())).await.unwrap();
    // A group that is called as a role is none.
    let status = score_as(&server, Some(&shown)).await.unwrap_err();
    assert!(status.message().contains("jwt:ada@example.org lacks the role scorer"), "{status:?}");
    let asked = bearing(Some(&shown), promotion("churn", "champion"));
    let status = models.promote_model_version(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn certificates_are_known_by_their_names() {
    let (folder, registry) = prepared();
    let authority = Authority::new();
    let keys = Keys::new().with("probe", &["viewer"]);
    let file = format!(
        "{}[[certificate]]\nnames = [\"URI:spiffe://test/onboarding/*\"]\nroles = [\"scorer\"]\n\
         [[certificate]]\nname = \"deployer\"\nnames = [\"URI:spiffe://test/deploy\"]\n\
         roles = [\"promoter\", \"viewer\"]\n",
        keys.file
    );
    let mut options = guarded(folder.path(), &file);
    let tls = tls_files(folder.path(), &authority.server(2999), Some(&authority));
    options.net = NetOptions { tls: Some(tls), ..NetOptions::default() };
    let app = authority.client("spiffe://test/onboarding/web");
    let server = TestServer::secured(folder, registry, options, &authority, Some(&app)).await;
    score_as(&server, None).await.unwrap();
    let mut models = ModelRegistryServiceClient::new(server.channel.clone());
    let status = models.list_models(pb::ListModelsRequest::default()).await.unwrap_err();
    let caller = "cert:URI:spiffe://test/onboarding/web lacks the role viewer";
    assert!(status.message().starts_with(caller), "{status:?}");
    // A key speaks for itself, and a wrong one is not made up for by the certificate.
    let asked = bearing(Some(&keys.keys["probe"]), pb::ListModelsRequest::default());
    models.list_models(asked).await.unwrap();
    assert_eq!(reason(&score_as(&server, Some("wrong")).await.unwrap_err()), "KEY_UNKNOWN");
    let stranger = authority.client("spiffe://test/somebody");
    let channel = authority.channel(server.grpc, Some(&stranger)).await.unwrap();
    let asked = request(&["churn"], good_row());
    let status = ScoringServiceClient::new(channel).score(asked).await.unwrap_err();
    assert_eq!(reason(&status), "CERTIFICATE_UNKNOWN");
    let deployer = authority.client("spiffe://test/deploy");
    let channel = authority.channel(server.grpc, Some(&deployer)).await.unwrap();
    let mut models = ModelRegistryServiceClient::new(channel);
    let asked = pb::SetModelAliasRequest {
        model: "churn".to_owned(),
        alias: "staging".to_owned(),
        version: 2,
        ..Default::default()
    };
    models.set_model_alias(asked).await.unwrap();
    let events = pb::ListModelEventsRequest { model: "churn".to_owned(), ..Default::default() };
    let events = models.list_model_events(events).await.unwrap().into_inner().events;
    assert_eq!(events[0].actor, "cert:deployer");
}

#[tokio::test]
async fn the_other_port_asks_the_same_questions() {
    let keys = Keys::of_every_role();
    let (folder, registry) = prepared();
    let mut options = guarded(folder.path(), &keys.file);
    options.access.open_metrics = false;
    let server = TestServer::over(folder, registry, options).await;
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    server.wait_for_health("", serving).await;
    let body = json!({
        "models": [{"model": "churn"}],
        "row": {"named": {"values": {
            "age": {"number": 40}, "plan": {"category": "pro"}, "visits": {"integer": "1"},
        }}},
    });
    let body = body.to_string();
    for (method, path, needed) in [
        ("GET", "/healthz", "everybody"),
        ("GET", "/readyz", "everybody"),
        ("GET", "/v2/health/live", "everybody"),
        ("GET", "/v2/health/ready", "everybody"),
        ("GET", "/v2/models/churn/ready", "everybody"),
        ("GET", "/metrics", "viewer"),
        ("POST", "/v1/score", "scorer"),
        ("POST", "/v2/models/churn/infer", "scorer"),
        ("POST", "/v2/models/churn/versions/1/infer", "scorer"),
        ("GET", "/v2", "known"),
        ("GET", "/v2/models/churn", "known"),
        ("GET", "/v2/models/churn/config", "known"),
        ("GET", "/v2/models/churn/stats", "viewer"),
        ("POST", "/v2/repository/index", "viewer"),
    ] {
        let body = if method == "POST" { body.as_bytes() } else { b"" };
        let answer = server.http(method, path, "", body).await;
        assert_eq!(answer.code == 401, needed != "everybody", "{path}: {answer:?}");
        if answer.code == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"segue\""));
            if path != "/metrics" {
                let details = &answer.json()["details"][0];
                assert_eq!(details["reason"], "CREDENTIALS_ABSENT", "{path}");
            }
        }
        for role in ROLES {
            let may = ["everybody", "known", role].contains(&needed) || role == "admin";
            let shown = format!("Authorization: Bearer {}\r\n", keys.keys[role]);
            let answer = server.http(method, path, &shown, body).await;
            assert_eq!(answer.code == 403, !may, "{path} as {role}: {answer:?}");
        }
    }
    // Whom nobody knows learns that it is ready, and not of what.
    assert!(!server.get("/readyz").await.1.contains("churn"));
    let shown = format!("Authorization: Bearer {}\r\n", keys.keys["viewer"]);
    let known = server.http("GET", "/readyz", &shown, b"").await;
    assert!(known.json()["models"]["churn"].as_bool().unwrap());
}
