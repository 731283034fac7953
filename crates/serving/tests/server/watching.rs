//! What the server says of itself: states of versions, watches, and its own status.

use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use segue_registry::Registry;
use segue_serving::ServeOptions;
use tokio_stream::StreamExt;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::harness::*;

type Watch = Streaming<pb::WatchModelsResponse>;

async fn watch(server: &TestServer, models: &[&str]) -> Watch {
    let models = models.iter().map(|name| (*name).to_owned()).collect();
    let request = pb::WatchModelsRequest { models };
    server.models().watch_models(request).await.unwrap().into_inner()
}

async fn next(watch: &mut Watch) -> pb::WatchModelsResponse {
    let next = tokio::time::timeout(PATIENCE, watch.next()).await;
    next.expect("the watch goes on").expect("it does not end").unwrap()
}

/// Reads on until one model is as wanted.
async fn until(watch: &mut Watch, wanted: impl Fn(&pb::Model) -> bool) -> pb::Model {
    loop {
        if let Some(model) = next(watch).await.models.into_iter().find(&wanted) {
            return model;
        }
    }
}

fn states(model: &pb::Model) -> Vec<(i64, pb::ModelVersionState)> {
    model.loaded.iter().map(|one| (one.version, one.state())).collect()
}

async fn version_state(server: &TestServer, version: i64) -> (pb::ModelVersionState, String) {
    let ask = pb::GetModelVersionRequest { model: "churn".to_owned(), version };
    let told = server.models().get_model_version(ask).await.unwrap().into_inner();
    let told = told.model_version.unwrap();
    (told.state(), told.state_reason)
}

use pb::ModelVersionState::{
    Archived, Draining, Failed, Loading, Ready, Registered, Serving, Warming,
};

#[tokio::test]
async fn a_version_says_where_it_is() {
    let server = TestServer::start().await;
    let mut models = server.models();
    assert_eq!(version_state(&server, 1).await, (Serving, String::new()));
    let (state, why) = version_state(&server, 2).await;
    assert!(state == Registered && why.contains("no alias"), "{why}");
    models.promote_model_version(promotion("churn", 2)).await.unwrap();
    // In memory for a rollback, and whoever names it is answered.
    assert_eq!(version_state(&server, 1).await.0, Ready);
    assert_eq!(version_state(&server, 2).await.0, Serving);
    let archive = pb::ArchiveModelVersionRequest {
        model: "churn".to_owned(),
        version: 1,
        ..Default::default()
    };
    models.archive_model_version(archive).await.unwrap();
    let (state, why) = version_state(&server, 1).await;
    assert!(state == Archived && why.contains("restored"), "{why}");
    let ask = pb::ListModelVersionsRequest { model: "churn".to_owned(), ..Default::default() };
    let listed = models.list_model_versions(ask).await.unwrap().into_inner().model_versions;
    let listed: Vec<_> = listed.iter().map(|one| (one.version, one.state())).collect();
    assert_eq!(listed, [(2, Serving), (1, Archived)]);
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_then_what_changes() {
    let server = TestServer::start().await;
    let mut all = watch(&server, &[]).await;
    let mut one = watch(&server, &["visits", "tenure"]).await;
    let first = next(&mut all).await;
    assert!(first.caught_up && first.removed_models.is_empty());
    let names: Vec<&str> = first.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["churn", "visits"]);
    let churn = &first.models[0];
    assert_eq!((churn.aliases["champion"], states(churn)), (1, vec![(1, Serving)]));
    let registered = server.registry.model("churn").unwrap();
    assert_eq!((churn.generation, &churn.etag), (registered.generation, &registered.etag));
    let first = next(&mut one).await;
    assert!(first.caught_up && first.models.len() == 1, "a model that is not there is waited for");

    let mut models = server.models();
    models.promote_model_version(promotion("churn", 2)).await.unwrap();
    let is_swapped = |model: &pb::Model| model.name == "churn" && model.aliases["champion"] == 2;
    let swapped = until(&mut all, is_swapped).await;
    assert_eq!(states(&swapped), [(1, Ready), (2, Serving)]);
    let traffic =
        pb::TrafficPolicy { canary_version: 1, canary_basis_points: 5, ..Default::default() };
    let update = pb::UpdateTrafficPolicyRequest {
        model: "churn".to_owned(),
        traffic: Some(traffic.clone()),
        ..Default::default()
    };
    models.update_traffic_policy(update).await.unwrap();
    let split = until(&mut all, |model| model.traffic.is_some()).await;
    assert_eq!(states(&split), [(1, Serving), (2, Serving)]);
    assert_eq!(split.traffic, Some(traffic));

    // Of all this the other watch heard nothing; a new model of a name that it gave is told.
    let mut draft = churn_draft(0.0);
    draft.model = "tenure".to_owned();
    publish(&server.registry, &draft);
    promote(&server.registry, "tenure", 1);
    let told = until(&mut one, |model| model.aliases.contains_key("champion")).await;
    assert_eq!(told.name, "tenure");
    std::fs::remove_dir_all(server.folder.path().join("tenure")).unwrap();
    loop {
        let told = next(&mut one).await;
        if !told.removed_models.is_empty() {
            assert_eq!(told.removed_models, ["tenure"]);
            break;
        }
    }
}

/// A failed load is told, with its reason, and so is its end.
#[tokio::test]
async fn a_watch_tells_of_failures() {
    let server = TestServer::start().await;
    let file = server.folder.path().join("churn/versions/2/model.bin");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[1..]).unwrap();
    let mut churn = watch(&server, &["churn"]).await;
    next(&mut churn).await;
    server.registry.set_alias("churn", "next", 2, "ada").unwrap();
    let failed = until(&mut churn, |model| !model.load_error.is_empty()).await;
    assert_eq!(states(&failed), [(1, Serving), (2, Failed)]);
    assert!(failed.loaded[1].state_reason.contains("model.bin"), "{failed:?}");
    assert_eq!(version_state(&server, 2).await.0, Failed);
    std::fs::write(&file, whole).unwrap();
    let mended = until(&mut churn, |model| model.aliases.contains_key("next")).await;
    assert_eq!(
        (states(&mended), mended.load_error.as_str()),
        (vec![(1, Serving), (2, Serving)], "")
    );
}

/// Loading goes through its stages in order, and what is let go says so first. Whether a reader sees
/// each of them is a matter of luck; that they never come in another order is not.
#[tokio::test]
async fn states_come_in_their_order() {
    let server = TestServer::start().await;
    publish(&server.registry, &churn_draft(0.75));
    let mut churn = watch(&server, &["churn"]).await;
    let mut models = server.models();
    let order = [Loading, Warming, Serving, Ready, Draining];
    let last = std::cell::RefCell::new(std::collections::BTreeMap::new());
    for version in [2, 3] {
        models.promote_model_version(promotion("churn", version)).await.unwrap();
    }
    // Version 1 goes when 3 comes.
    until(&mut churn, |model| {
        for (version, state) in states(model) {
            let place = order.iter().position(|one| *one == state).expect("a state of this way");
            let before = last.borrow_mut().insert(version, place);
            assert!(before.is_none_or(|before| before <= place), "{version}: {state:?}");
            let reached = matches!(state, Ready | Serving);
            assert!(!model.aliases.values().any(|to| *to == version) || reached, "{model:?}");
        }
        states(model) == [(2, Ready), (3, Serving)]
    })
    .await;
}

#[tokio::test]
async fn a_watch_is_a_stream_like_others_and_ends_at_the_drain() {
    let server = TestServer::start_with(ServeOptions { max_streams: 1, ..quick() }).await;
    let mut open = watch(&server, &[]).await;
    next(&mut open).await;
    let refused = server.models().watch_models(pb::WatchModelsRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    let bad = pb::WatchModelsRequest { models: vec!["churn".to_owned(), "../x".to_owned()] };
    let status = server.models().watch_models(bad).await.unwrap_err();
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "models[1]");
    server.stop.send(()).unwrap();
    let end = async {
        let status = open.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "DRAINING");
        server.task.await.unwrap().unwrap();
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the drain is bounded");
}

/// A reader that does not read gets the newest state when it does, not all that it missed.
#[tokio::test]
async fn a_slow_reader_finds_the_newest_state() {
    let server = TestServer::start().await;
    // Takes a message or two on trust, then waits until they are read.
    let narrow = tonic::transport::Channel::from_shared(format!("http://{}", server.grpc)).unwrap();
    let narrow = narrow.initial_stream_window_size(1024).connect().await.unwrap();
    let request = pb::WatchModelsRequest { models: vec!["churn".to_owned()] };
    let slow = ModelRegistryServiceClient::new(narrow).watch_models(request).await;
    let mut slow = slow.unwrap().into_inner();
    next(&mut slow).await;
    const N_CHANGES: i64 = 60;
    let mut models = server.models();
    for n in 0..N_CHANGES {
        let alias = pb::SetModelAliasRequest {
            model: "churn".to_owned(),
            alias: "next".to_owned(),
            version: 1 + n % 2,
            ..Default::default()
        };
        models.set_model_alias(alias).await.unwrap();
    }
    let newest = server.registry.generation("churn").unwrap();
    let n_told = std::cell::Cell::new(0);
    until(&mut slow, |model| {
        n_told.set(n_told.get() + 1);
        model.generation == newest
    })
    .await;
    // What the transport had taken on by then, and the newest.
    assert!(n_told.get() < N_CHANGES / 3, "{n_told:?}");
}

#[tokio::test]
async fn the_server_tells_its_status() {
    let options = ServeOptions { max_in_flight: 7, max_upload_bytes: 99, ..quick() };
    let server = TestServer::start_with(options).await;
    server.score(request(&["churn"], good_row())).await.unwrap();
    let ask = pb::GetServerStatusRequest {};
    let told = server.admin().get_server_status(ask).await.unwrap().into_inner();
    assert!(told.ready && !told.draining && !told.version.is_empty());
    assert_eq!(told.registry, server.folder.path().to_str().unwrap());
    assert!(told.start_time.is_some() && told.uptime.is_some() && told.registry_age.is_some());
    let of = |name: &str| told.limits.iter().find(|limit| limit.name == name).unwrap();
    assert_eq!((of("scoring_requests").limit, of("scoring_requests").in_use), (7, 0));
    // This very request, which asks nothing of the registry.
    assert_eq!((of("status_requests").limit, of("status_requests").in_use), (64, 1));
    assert_eq!((of("registry_requests").limit, of("registry_requests").in_use), (8, 0));
    assert_eq!((of("streams").in_use, of("uploads").limit), (0, 1));
    assert_eq!(told.request_limits.unwrap().max_upload_bytes, 99);
    let generation = |name| server.registry.generation(name).unwrap();
    let models: Vec<_> =
        told.models.iter().map(|one| (one.model.as_str(), one.generation, one.ready)).collect();
    let expected = [("churn", generation("churn"), true), ("visits", generation("visits"), true)];
    assert_eq!(models, expected);

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let ask = pb::ListLoadedVersionsRequest { page_size: 1, page_token, ..Default::default() };
        let page = server.admin().list_loaded_versions(ask).await.unwrap().into_inner();
        listed.extend(page.versions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed.len(), 2);
    let churn = listed[0].version.as_ref().unwrap();
    let manifest = server.registry.manifest("churn", 1).unwrap();
    assert_eq!((listed[0].model.as_str(), &churn.digest), ("churn", &manifest.digest));
    assert_eq!((churn.state(), churn.rows_scored), (Serving, 1));
    let n_bytes: u64 = manifest.files.values().map(|file| file.size).sum();
    assert_eq!(churn.file_bytes as u64, n_bytes);
    assert!(churn.load_duration.is_some() && churn.state_time.is_some());
    let ask = pb::ListLoadedVersionsRequest { model: "visits".to_owned(), ..Default::default() };
    let visits = server.admin().list_loaded_versions(ask).await.unwrap().into_inner().versions;
    assert_eq!(visits, [listed[1].clone()]);
    // Every version is told, also of a model whose first one ended the page before.
    server.registry.set_alias("churn", "next", 2, "ada").unwrap();
    until_generation(&server, "churn", server.registry.generation("churn").unwrap()).await;
    let mut listed = Vec::new();
    let mut page_token = String::new();
    for _ in 0..3 {
        let ask = pb::ListLoadedVersionsRequest { page_size: 1, page_token, ..Default::default() };
        let page = server.admin().list_loaded_versions(ask).await.unwrap().into_inner();
        let name = |one: pb::LoadedModelVersion| (one.model, one.version.unwrap().version);
        listed.extend(page.versions.into_iter().map(name));
        page_token = page.next_page_token;
    }
    let expected = [("churn", 1), ("churn", 2), ("visits", 1)];
    assert_eq!(listed, expected.map(|(model, version)| (model.to_owned(), version)));
    assert_eq!(page_token, "");
    let other = pb::ListLoadedVersionsRequest {
        model: "visits".to_owned(),
        page_token: "loaded/:churn/1".to_owned(),
        ..Default::default()
    };
    let status = server.admin().list_loaded_versions(other).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let ask = pb::ListLoadedVersionsRequest { model: "../x".to_owned(), ..Default::default() };
    let status = server.admin().list_loaded_versions(ask).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

/// An empty folder where the registry was is no answer of the registry.
#[tokio::test]
async fn a_registry_that_is_gone_grows_old() {
    let server = TestServer::start().await;
    for model in ["churn", "visits"] {
        let folder = server.folder.path().join(model);
        std::fs::rename(&folder, folder.with_extension("Away")).unwrap();
    }
    let old = async {
        loop {
            let ask = pb::GetServerStatusRequest {};
            let told = server.admin().get_server_status(ask).await.unwrap().into_inner();
            let age = told.registry_age.unwrap();
            // Sixty looks later.
            if age.seconds > 0 || age.nanos > 300_000_000 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, old).await.expect("the age grows");
    server.score(request(&["churn"], good_row())).await.unwrap();
}

/// Nobody is told that there is nothing when nothing is known yet.
#[tokio::test]
async fn a_watch_of_an_empty_registry_says_that_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let server = TestServer::over(folder, registry, quick()).await;
    server.wait_for_health("", ServingStatus::NotServing).await;
    let mut all = watch(&server, &[]).await;
    let first = next(&mut all).await;
    assert!(first.caught_up && first.models.is_empty());
    publish(&server.registry, &churn_draft(0.0));
    promote(&server.registry, "churn", 1);
    until(&mut all, |model| states(model) == [(1, Serving)]).await;
}
