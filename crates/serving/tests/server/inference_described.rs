//! What the Open Inference Protocol tells of servers, models and versions.

use segue_api::inference as oip;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::*;
use crate::tensors::*;

#[tokio::test]
async fn readiness_and_metadata_are_told() {
    let server = TestServer::start().await;
    let mut client = server.inference();
    let live = client.server_live(oip::ServerLiveRequest {}).await.unwrap().into_inner();
    let ready = client.server_ready(oip::ServerReadyRequest {}).await.unwrap().into_inner();
    assert!(live.live && ready.ready);
    for (name, version, expected) in [
        ("churn", "", true),
        ("churn", "1", true),
        ("churn", "champion", true),
        // Published, but no alias points at it.
        ("churn", "2", false),
        ("churn", "9", false),
        ("churn", "99999999999999999999", false),
        ("churn", "next", false),
        ("tenure", "", false),
        ("No Name", "", false),
    ] {
        let asked = oip::ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        let ready = client.model_ready(asked).await.unwrap().into_inner().ready;
        assert_eq!(ready, expected, "{name}/{version}");
    }
    let told = client.server_metadata(oip::ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(told.name, "segue");
    assert!(told.extensions.contains(&"statistics".to_owned()));
    let asked = oip::ModelMetadataRequest { name: "churn".to_owned(), ..Default::default() };
    let told = client.model_metadata(asked).await.unwrap().into_inner();
    assert_eq!((told.name.as_str(), &told.versions[..]), ("churn", &["1".to_owned()][..]));
    let inputs =
        told.inputs.iter().map(|one| (one.name.as_str(), one.datatype.as_str(), &one.shape[..]));
    let shape = &[-1, 1][..];
    let expected = [("age", "FP64", shape), ("plan", "BYTES", shape), ("visits", "FP64", shape)];
    assert_eq!(inputs.collect::<Vec<_>>(), expected);
    let outputs =
        told.outputs.iter().map(|one| (one.name.as_str(), one.datatype.as_str(), &one.shape[..]));
    let expected = [
        ("output__0", "FP64", &[-1][..]),
        ("segment", "BYTES", &[-1]),
        ("treeshap_output", "FP64", &[-1, 4]),
        ("prediction_id", "BYTES", &[-1]),
    ];
    assert_eq!(outputs.collect::<Vec<_>>(), expected);
    let asked = oip::ModelConfigRequest { name: "churn".to_owned(), version: "1".to_owned() };
    let config = client.model_config(asked).await.unwrap().into_inner().config.unwrap();
    assert_eq!(config.max_batch_size, 10_000);
    assert_eq!(config.input[1].data_type(), oip::DataType::TypeString);
    assert_eq!(config.output[2].dims, [4]);
    let digest = &config.parameters["schema_digest"].string_value;
    assert_eq!(digest, churn_model(0.0).schema().digest().as_str());
}

#[tokio::test]
async fn statistics_count_rows_of_every_protocol() {
    let server = TestServer::start().await;
    let of = async |name: &str, version: &str| {
        let asked =
            oip::ModelStatisticsRequest { name: name.to_owned(), version: version.to_owned() };
        server.inference().model_statistics(asked).await.unwrap().into_inner().model_stats
    };
    assert_eq!(of("churn", "").await[0].last_inference, 0);
    let rows = [[40.0, 1.0, 1.0]; 20];
    let matrix = [Tensor::fp64("input__0", &[20, 3], &rows.concat())];
    server.infer(raw(&matrix)).await.unwrap();
    server.score(request(&["churn"], good_row())).await.unwrap();
    server.infer(asking_for(raw(&matrix), &["no_such_output"])).await.unwrap_err();
    for told in [of("churn", "").await, of("churn", "1").await] {
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!((told.name.as_str(), told.version.as_str()), ("churn", "1"));
        assert_eq!((told.inference_count, told.execution_count), (21, 2));
        let stats = told.inference_stats.as_ref().unwrap();
        assert_eq!(stats.success.unwrap().count, 2);
        assert_eq!(stats.fail.unwrap().count, 1);
        assert!(stats.compute_infer.unwrap().ns > 0 && told.last_inference > 0);
    }
    assert_eq!(of("", "").await.len(), 2);
    // The same predictions on the metrics page, by their version.
    let (_, page) = server.get("/metrics").await;
    let line = "segue_predictions_total{model=\"churn\",version=\"1\",variant=\"champion\",segment=\"\"} 21\n";
    assert!(page.contains(line), "{page}");
    let handled = "grpc_service=\"inference.GRPCInferenceService\",grpc_method=\"ModelInfer\"";
    assert!(page.contains(handled), "{page}");
}

#[tokio::test]
async fn the_index_follows_the_registry_and_load_reads_it_now() {
    // A server that would not look again by itself.
    let options = segue_serving::ServeOptions {
        poll_interval: std::time::Duration::from_secs(3600),
        ..quick()
    };
    let server = TestServer::start_with(options).await;
    let mut client = server.inference();
    let mut index = async |ready| {
        let asked = oip::RepositoryIndexRequest { ready, ..Default::default() };
        let models = client.repository_index(asked).await.unwrap().into_inner().models;
        models.into_iter().map(|one| (one.name, one.version, one.state)).collect::<Vec<_>>()
    };
    let entry = |name: &str, version: &str, state: &str| {
        (name.to_owned(), version.to_owned(), state.to_owned())
    };
    let (first, second) = (entry("churn", "1", "READY"), entry("churn", "2", "UNAVAILABLE"));
    let visits = entry("visits", "1", "READY");
    assert_eq!(index(false).await, [first.clone(), second, visits.clone()]);
    assert_eq!(index(true).await, [first.clone(), visits.clone()]);
    promote(&server.registry, "churn", 2);
    assert_eq!(index(true).await, [first.clone(), visits.clone()]);
    let load =
        oip::RepositoryModelLoadRequest { model_name: "churn".to_owned(), ..Default::default() };
    server.inference().repository_model_load(load).await.unwrap();
    assert_eq!(index(true).await, [first, entry("churn", "2", "READY"), visits]);
    assert_eq!(server.infer(raw(&good_tensors())).await.unwrap().model_version, "2");
}

#[tokio::test]
async fn health_and_reflection_know_the_service() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let server = TestServer::start().await;
    let service = "inference.GRPCInferenceService";
    server.wait_for_health(service, ServingStatus::Serving).await;
    let ask = |message| tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(format!("{service}.ModelInfer"))),
    ];
    let mut client = ServerReflectionClient::new(server.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap();
    let mut answers = answers.into_inner();
    let listed = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = listed else { panic!("{listed:?}") };
    assert!(listed.service.iter().any(|one| one.name == service), "{listed:?}");
    let found = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(found, Some(MessageResponse::FileDescriptorResponse(_))), "{found:?}");
}
