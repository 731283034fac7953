//! A registry whose storage does not answer: what needs none of it goes on, and it shows.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use segue_api::inference as oip;
use segue_api::v1 as pb;
use segue_api::v1::feedback_service_client::FeedbackServiceClient;
use segue_registry::ModelState;
use segue_serving::ServeOptions;
use tonic::{Code, Request};

use crate::harness::*;

/// The cache of a model's state in the place of a pipe that nobody writes to, as a network file system
/// that stalls: whoever opens it waits.
struct Stalled {
    path: PathBuf,
    whole: PathBuf,
}

impl Stalled {
    fn new(folder: &Path, model: &str) -> Self {
        let path = folder.join(model).join("state.json");
        let (whole, pipe) = (path.with_extension("whole"), path.with_extension("pipe"));
        std::fs::copy(&path, &whole).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        std::fs::rename(pipe, &path).unwrap();
        Self { path, whole }
    }
}

/// Everybody who waits is let go, also if the test has failed: a thread that waits has no end.
impl Drop for Stalled {
    fn drop(&mut self) {
        // For both sides, so that this does not wait for a reader.
        let mut both = std::fs::OpenOptions::new();
        let pipe = both.read(true).write(true).open(&self.path).unwrap();
        std::fs::rename(&self.whole, &self.path).unwrap();
        drop(pipe);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_memory_is_told_while_the_registry_hangs() {
    let options = ServeOptions { max_in_flight_registry: 1, ..quick() };
    let server = TestServer::start_with(options).await;
    server.registry.set_alias("visits", "next", 1, "ada").unwrap();
    let stalled = Stalled::new(server.folder.path(), "churn");
    // Its caller gives up; what it asked for holds the only permit.
    let ask = |time| {
        let mut ask = Request::new(pb::GetModelRequest { model: "churn".to_owned() });
        ask.set_timeout(time);
        let mut models = server.models();
        async move { models.get_model(ask).await.map(drop) }
    };
    let taken = async {
        loop {
            match ask(Duration::from_millis(20)).await {
                Err(status) if status.code() == Code::ResourceExhausted => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("the registry's permit is taken");

    let status = server.admin().get_server_status(pb::GetServerStatusRequest {}).await.unwrap();
    let limits = status.into_inner().limits;
    let registry = limits.iter().find(|limit| limit.name == "registry_requests").unwrap();
    assert_eq!((registry.in_use, registry.limit), (1, 1));
    let ask_loaded = pb::ListLoadedVersionsRequest::default();
    let loaded = server.admin().list_loaded_versions(ask_loaded).await.unwrap().into_inner();
    assert_eq!(loaded.versions.len(), 2);
    let statistics = oip::ModelStatisticsRequest::default();
    server.inference().model_statistics(statistics).await.unwrap();
    let index = oip::RepositoryIndexRequest::default();
    server.inference().repository_index(index).await.unwrap();
    for (method, path) in [("GET", "/v2/models/churn/stats"), ("POST", "/v2/repository/index")] {
        let answer = server.http(method, path, "", b"").await;
        assert_eq!(answer.code, 200, "{path}: {answer:?}");
    }
    // These two have nothing to tell here, but not for want of a registry.
    let mut feedback = FeedbackServiceClient::new(server.channel.clone());
    let drift = pb::GetDriftReportRequest { model: "churn".to_owned(), version: None };
    let status = feedback.get_drift_report(drift).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    let measure = pb::GetModelPerformanceRequest { model: "churn".into(), ..Default::default() };
    let status = feedback.get_model_performance(measure).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    server.score(request(&["churn"], good_row())).await.expect("scores go on");
    // Another model is changed, if only in the registry: who follows it hangs.
    let alias = pb::DeleteModelAliasRequest {
        model: "visits".to_owned(),
        alias: "next".to_owned(),
        ..Default::default()
    };
    let mut alias = Request::new(alias);
    alias.set_timeout(Duration::from_millis(500));
    let status = server.models().delete_model_alias(alias).await.unwrap_err();
    assert_ne!(status.code(), Code::ResourceExhausted, "{status:?}");
    let is_changed = async {
        while server.registry.model("visits").unwrap().aliases.contains_key("next") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, is_changed).await.expect("the alias is gone");

    // Nobody has come back with an error: the clock alone tells.
    let stale = async || metric(&server, "segue_registry_stale_seconds").await;
    let grows = async {
        while stale().await == 0.0 {}
        let first = stale().await;
        while stale().await <= first {}
    };
    tokio::time::timeout(PATIENCE, grows).await.expect("it grows");
    drop(stalled);
    let fresh = async {
        while stale().await > 0.0 {}
        while ask(PATIENCE).await.is_err() {}
    };
    tokio::time::timeout(PATIENCE, fresh).await.expect("it answers again");
}

/// A proof reads the version that it is of, and no other model, though its segments ask for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proven_waits_for_no_other_model() {
    let server = TestServer::start().await;
    let mut draft = visits_draft();
    for seed in ["8", "9"] {
        draft.summary.lineage.insert("seed".to_owned(), seed.to_owned());
        publish(&server.registry, &draft);
    }
    let _stalled = Stalled::new(server.folder.path(), "churn");
    let mut models = server.models();
    let model = "visits".to_owned();
    let becomes = async |what: &str, is_so: &dyn Fn(&ModelState) -> bool| {
        let followed = async {
            while !is_so(&server.registry.model("visits").unwrap()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, followed).await.expect(what);
    };

    // All of them are made in the registry. Who follows it here hangs sooner or later, and so may the
    // answer.
    let alias = pb::SetModelAliasRequest {
        model: model.clone(),
        alias: "next".to_owned(),
        version: 2,
        ..Default::default()
    };
    drop(models.set_model_alias(soon(alias)).await);
    becomes("an alias", &|state| state.aliases.get("next") == Some(&2)).await;
    let traffic = pb::TrafficPolicy {
        shadow_versions: vec![2],
        shadow_basis_points: 10_000,
        ..Default::default()
    };
    let update = pb::UpdateTrafficPolicyRequest {
        model: model.clone(),
        traffic: Some(traffic),
        ..Default::default()
    };
    drop(models.update_traffic_policy(soon(update)).await);
    becomes("a shadow", &|state| state.traffic.is_some()).await;
    drop(models.promote_model_version(soon(promotion("visits", 3))).await);
    becomes("a champion", &|state| state.aliases.get("champion") == Some(&3)).await;
    // It changes nothing, and waits for nobody who follows.
    let validate = pb::ValidateModelVersionRequest { model, version: 2, ..Default::default() };
    let mut validate = Request::new(validate);
    validate.set_timeout(PATIENCE);
    models.validate_model_version(validate).await.expect("what a promotion would say");
}

/// Whoever asks gives up soon.
fn soon<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(500));
    request
}
