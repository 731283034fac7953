"""Unmodified clients against a running server: tritonclient over gRPC and HTTP, health, reflection.

What they get is compared with the proof rows of the version that answers (`golden.jsonl` of the registry,
whose answers are stored as bits) and with `segue.v1.ScoringService`, which is called through reflection.

    tests/oip/run.sh        starts a server and runs this

Exit code 1 if anything differs.
"""

import argparse
import json
import struct
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

SERVICE = "inference.GRPCInferenceService"


class Checks:
    def __init__(self):
        self.n_failed = 0

    def that(self, name, ok, found=""):
        self.n_failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}" + ("" if ok else f": {found}"), flush=True)

    def equal(self, name, found, expected):
        self.that(name, found == expected, f"{found!r}, expected {expected!r}")

    def same_bits(self, name, found, expected):
        """Exactly the same numbers: float64 arrays compared as bytes."""
        found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
        same = found.shape == expected.shape and found.tobytes() == expected.tobytes()
        self.that(name, same, f"{found[:4]}..., expected {expected[:4]}...")

    def refused(self, name, words, call):
        try:
            found = call()
        except InferenceServerException as error:
            self.that(name, all(word in str(error) for word in words), str(error))
        else:
            self.that(name, False, f"answered {found!r}")


def from_bits(text):
    return struct.unpack("<d", int(text, 16).to_bytes(8, "little"))[0]


def golden(registry, model, version):
    """Rows with NaN for missing, and outputs to the bit."""
    path = Path(registry) / model / "versions" / version / "golden.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows = np.array([[np.nan if cell is None else cell for cell in line["row"]] for line in lines], np.float64)
    outputs = np.array([[from_bits(bits) for bits in line["output_bits"]] for line in lines], np.float64)
    return rows, outputs[:, 0] if outputs.shape[1] == 1 else outputs


class Segue:
    """segue.v1 as a client without its proto files sees it: through reflection."""

    def __init__(self, channel):
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))

    def services(self):
        return ProtoReflectionDescriptorDatabase(self.channel).get_services()

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def call(self, method, fields):
        service = "segue.v1.ScoringService"
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        ask, answer = (message_factory.GetMessageClass(one) for one in (described.input_type, described.output_type))
        send = self.channel.unary_unary(
            f"/{service}/{method}", request_serializer=ask.SerializeToString, response_deserializer=answer.FromString
        )
        return send(ask(**fields), timeout=30)


def check_descriptors(checks, pool):
    """Every field of ours is one of Triton's, by name, number, type and cardinality."""
    theirs = descriptor_pool.Default()
    n_fields, wrong = 0, []
    ours = pool.FindFileContainingSymbol(SERVICE)
    assert service_pb2 is not None  # fills the default pool

    def compare(message):
        nonlocal n_fields
        try:
            other = theirs.FindMessageTypeByName(message.full_name)
        except KeyError:
            wrong.append(message.full_name)
            return
        for field in message.fields:
            n_fields += 1
            same = other.fields_by_name.get(field.name)
            facts = lambda one: (one.number, one.type, one.is_repeated if hasattr(one, "is_repeated") else one.label)
            if same is None or facts(same) != facts(field):
                wrong.append(f"{message.full_name}.{field.name}")
        for nested in message.nested_types:
            compare(nested)

    for message in ours.message_types_by_name.values():
        compare(message)
    for enum in ours.enum_types_by_name.values():
        other = theirs.FindEnumTypeByName(enum.full_name)
        if {one.name: one.number for one in enum.values} != {one.name: one.number for one in other.values}:
            wrong.append(enum.full_name)
    checks.that(f"reflection: {n_fields} fields have Triton's names, numbers and types", not wrong and n_fields > 80, wrong)


def named_inputs(module, schema, rows, dtype=np.float64, order=1):
    """One tensor a feature, in schema order or backwards."""
    inputs = []
    for column, feature in list(enumerate(schema.features))[::order]:
        cells = rows[:, column]
        if feature.vocabulary or feature.kind == 2:
            words = feature.vocabulary
            text = lambda cell: "" if np.isnan(cell) else words[int(cell)] if cell >= 0 else "never seen before"
            one = module.InferInput(feature.name, [len(rows)], "BYTES")
            one.set_data_from_numpy(np.array([text(cell) for cell in cells], dtype=object))
        else:
            one = module.InferInput(feature.name, [len(rows), 1], "FP64" if dtype == np.float64 else "FP32")
            one.set_data_from_numpy(cells.astype(dtype).reshape(-1, 1))
        inputs.append(one)
    return inputs


def matrix_input(module, rows, name="input__0", dtype=np.float64, **how):
    one = module.InferInput(name, list(rows.shape), "FP64" if dtype == np.float64 else "FP32")
    one.set_data_from_numpy(np.ascontiguousarray(rows, dtype=dtype), **how)
    return [one]


def to_dict(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def check_scores(checks, label, module, client, args, schema, rows, outputs, segments):
    wanted = [module.InferRequestedOutput(name) for name in ("output__0", "segment", "treeshap_output")]
    answer = client.infer(args.model, matrix_input(module, rows), outputs=wanted, request_id="r-1")
    told = answer.get_response()
    told = told if isinstance(told, dict) else {"id": told.id, "model_version": told.model_version}
    checks.equal(f"{label}: the id comes back", told["id"], "r-1")
    checks.equal(f"{label}: the version is a number", told["model_version"], args.version)
    checks.same_bits(f"{label}: matrix, {len(rows)} rows", answer.as_numpy("output__0"), outputs)
    text = lambda one: one.decode() if isinstance(one, bytes) else str(one)
    checks.equal(f"{label}: segments", [text(one) for one in answer.as_numpy("segment")], segments)
    shap = answer.as_numpy("treeshap_output")
    checks.equal(f"{label}: contributions and bias", (shap.shape[0], shap.shape[-1]), (len(rows), rows.shape[1] + 1))
    for order in (1, -1):
        answer = client.infer(args.model, named_inputs(module, schema, rows, order=order))
        checks.same_bits(f"{label}: a tensor a feature, order {order}", answer.as_numpy("output__0"), outputs)
    for version in (args.version, "champion"):
        answer = client.infer(args.model, matrix_input(module, rows, "input"), model_version=version, timeout=30_000_000)
        checks.same_bits(f"{label}: version {version!r}", answer.as_numpy("output__0"), outputs)
    # as many as the pool likes and a message may have
    n_many = min(2000, 3_000_000 // (8 * rows.shape[1]))
    many, expected = (np.resize(one, (n_many,) + one.shape[1:]) for one in (rows, outputs))
    answer = client.infer(args.model, matrix_input(module, many))
    checks.same_bits(f"{label}: {n_many:,} rows", answer.as_numpy("output__0"), expected)
    answer = client.infer(args.model, matrix_input(module, rows, dtype=np.float32)).as_numpy("output__0")
    checks.equal(f"{label}: single precision in, single precision out", answer.dtype, np.dtype(np.float32))
    digest = {"schema_digest": schema.digest}
    answer = client.infer(args.model, matrix_input(module, rows), parameters=digest)
    checks.same_bits(f"{label}: bound to its schema", answer.as_numpy("output__0"), outputs)

    infer = lambda inputs, **how: lambda: client.infer(args.model, inputs, **how)
    good = matrix_input(module, rows)
    checks.refused(f"{label}: another schema", ["GetModelSchema"], infer(good, parameters={"schema_digest": "0"}))
    checks.refused(f"{label}: a feature too few", ["expected [rows, "], infer(matrix_input(module, rows[:, 1:])))
    checks.refused(f"{label}: an unknown output", ["output__0"], infer(good, outputs=[module.InferRequestedOutput("y")]))
    checks.refused(f"{label}: an unknown version", ["has no version"], infer(good, model_version="987654"))
    checks.refused(f"{label}: a sequence", ["sequence_"], infer(good, sequence_id=7))
    checks.refused(f"{label}: a priority", ["priority"], infer(good, priority=1))
    classes = [module.InferRequestedOutput("output__0", class_count=2)]
    checks.refused(f"{label}: classification", ["classification"], infer(good, outputs=classes))
    checks.refused(f"{label}: too late", ["deadline"], infer(matrix_input(module, many), timeout=1))
    checks.refused(f"{label}: no such model", ["not in the registry"], lambda: client.infer("no-such-model", good))


def check_description(checks, label, client, args, schema, as_dict):
    checks.that(f"{label}: live and ready", client.is_server_live() and client.is_server_ready())
    for version in ("", args.version, "champion"):
        checks.that(f"{label}: version {version!r} is ready", client.is_model_ready(args.model, version))
    checks.that(f"{label}: an unknown version is not", not client.is_model_ready(args.model, "987654"))
    checks.equal(f"{label}: server", as_dict(client.get_server_metadata())["name"], "segue")
    told = as_dict(client.get_model_metadata(args.model))
    checks.equal(f"{label}: inputs in schema order", [one["name"] for one in told["inputs"]], [one.name for one in schema.features])
    checks.equal(f"{label}: outputs", [one["name"] for one in told["outputs"]], ["output__0", "segment", "treeshap_output", "prediction_id"])
    config = as_dict(client.get_model_config(args.model))
    config = config.get("config", config)
    checks.equal(f"{label}: configuration", config["parameters"]["schema_digest"]["string_value"], schema.digest)
    stats = as_dict(client.get_inference_statistics(args.model))["model_stats"]
    checks.that(f"{label}: statistics", any(one["version"] == args.version for one in stats), stats)
    index = as_dict(client.get_model_repository_index())
    index = index if isinstance(index, list) else index["models"]
    ready = [(one["name"], one["version"]) for one in index if one["state"] == "READY"]
    checks.that(f"{label}: index", (args.model, args.version) in ready, index)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("grpc", "http", "registry", "model"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    checks = Checks()
    channel = grpc.insecure_channel(args.grpc)

    health = health_pb2_grpc.HealthStub(channel)
    ready = False
    for _ in range(600):
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(service=f"model/{args.model}"), timeout=10)
            ready = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.RpcError:
            ready = False
        if ready:
            break
        time.sleep(0.1)
    for name in ("", SERVICE, f"model/{args.model}"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        checks.equal(f"health of {name!r}", answer.status, health_pb2.HealthCheckResponse.SERVING)

    segue = Segue(channel)
    checks.that("reflection lists the service", SERVICE in segue.services(), segue.services())
    check_descriptors(checks, segue.pool)
    selector = segue.message("segue.v1.ModelSelector")(model=args.model)
    answer = segue.call("GetModelSchema", {"model": selector})
    schema, args.version = answer.schema, str(answer.served_by.version)
    rows, outputs = golden(args.registry, args.model, args.version)

    row = segue.message("segue.v1.FeatureRow")
    packed = segue.message("segue.v1.PackedFeatures")
    batch = [row(packed=packed(values=list(one), schema_digest=schema.digest)) for one in rows]
    scored = segue.call("ScoreBatch", {"models": [selector], "rows": batch}).results
    best = outputs if outputs.ndim == 1 else outputs.max(axis=1)
    checks.same_bits("ScoreBatch", [one.row.predictions[0].score for one in scored], best)
    segments = [one.row.predictions[0].segment for one in scored]

    client = triton_grpc.InferenceServerClient(args.grpc)
    check_description(checks, "grpc", client, args, schema, to_dict)
    check_scores(checks, "grpc", triton_grpc, client, args, schema, rows, outputs, segments)
    client.load_model(args.model)
    checks.that("grpc: load", client.is_model_ready(args.model))
    checks.refused("grpc: unload", ["alias"], lambda: client.unload_model(args.model))
    checks.refused("grpc: shared memory", ["UNIMPLEMENTED"], client.get_system_shared_memory_status)

    client = triton_http.InferenceServerClient(args.http)
    check_description(checks, "http", client, args, schema, lambda answer: answer)
    check_scores(checks, "http", triton_http, client, args, schema, rows, outputs, segments)
    text = [triton_http.InferRequestedOutput("output__0", binary_data=False)]
    # this client cannot write a missing number as JSON
    known = np.where(np.isnan(rows), [-1.0 if one.kind == 2 else 0.0 for one in schema.features], rows)
    expected = client.infer(args.model, matrix_input(triton_http, known)).as_numpy("output__0")
    answer = client.infer(args.model, matrix_input(triton_http, known, binary_data=False), outputs=text)
    checks.same_bits("http: tensors as JSON", answer.as_numpy("output__0"), expected)

    cells = ["NaN" if np.isnan(cell) else cell for cell in rows[0]]
    body = {"models": [{"model": args.model}], "row": {"packed": {"values": cells, "schema_digest": schema.digest}}}
    ask = urllib.request.Request(f"http://{args.http}/v1/score", json.dumps(body).encode())
    with urllib.request.urlopen(ask, timeout=30) as answer:
        prediction = json.load(answer)["result"]["predictions"][0]
    checks.same_bits("POST /v1/score", [prediction["score"]], best[:1])

    print(f"{checks.n_failed} checks failed" if checks.n_failed else "all checks passed")
    return 1 if checks.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
