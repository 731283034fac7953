#!/usr/bin/env python3
"""Scores a user with the stubs that generate.sh made: by name, packed, in a batch, and what an error says.

    python3 score.py --stubs STUBS --server 127.0.0.1:50051 --model churn
"""

import argparse
import json
import math
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# Only UNAVAILABLE is tried again: an overloaded server says RESOURCE_EXHAUSTED, and wants to be left alone.
SERVICE_CONFIG = json.dumps({
    "methodConfig": [{
        "name": [{"service": "segue.v1.ScoringService"}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.02s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }]
})

DEADLINE_SECONDS = 1.0


def connect(server, key=None, ca=None):
    """One channel for the whole process. With `ca` (PEM) over TLS, with `key` on every call: over TLS only,
    for whoever listens in could use it."""
    if key is not None and ca is None:
        raise ValueError("a key needs TLS: give `ca`, the roots of the server's certificate in PEM")
    options = [
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if ca is None:
        return grpc.insecure_channel(server, options)
    credentials = grpc.ssl_channel_credentials(ca)
    if key is not None:
        call = grpc.access_token_call_credentials(key)
        credentials = grpc.composite_channel_credentials(credentials, call)
    return grpc.secure_channel(server, credentials, options)


def details(error):
    """Reason, bad fields and the wait that the server asks for, of a grpc.RpcError."""
    found = {"code": error.code().name, "message": error.details(), "reason": "", "fields": [], "wait_s": None}
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            found["reason"], found["metadata"] = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            found["fields"] = [(one.field, one.description) for one in bad.field_violations]
        elif detail.Unpack(retry):
            found["wait_s"] = retry.retry_delay.ToTimedelta().total_seconds()
    return found


class Packer:
    """Puts named values into the order of a schema. The digest goes along, so that a row for another
    schema is refused and never scored wrongly; then the schema is asked for again."""

    def __init__(self, stub, pb, model):
        self.stub, self.pb, self.model = stub, pb, model
        self.refresh()

    def refresh(self):
        request = self.pb.GetModelSchemaRequest(model=self.pb.ModelSelector(model=self.model))
        self.schema = self.stub.GetModelSchema(request, timeout=DEADLINE_SECONDS).schema
        self.codes = [{text: code for code, text in enumerate(one.vocabulary)} for one in self.schema.features]

    def pack(self, row):
        values = []
        for feature, codes in zip(self.schema.features, self.codes):
            value = row[feature.name]
            if value is None:
                values.append(math.nan)
            elif isinstance(value, str):
                values.append(codes.get(value, -1))
            else:
                values.append(float(value))
        return self.pb.PackedFeatures(values=values, schema_digest=self.schema.digest)

    def score(self, row, subject):
        for attempt in (1, 2):
            request = self.pb.ScoreRequest(
                models=[self.pb.ModelSelector(model=self.model)],
                row=self.pb.FeatureRow(packed=self.pack(row), subject_id=subject),
            )
            try:
                return self.stub.Score(request, timeout=DEADLINE_SECONDS)
            except grpc.RpcError as error:
                if attempt == 2 or details(error)["reason"] != "SCHEMA_DIGEST_MISMATCH":
                    raise
                self.refresh()


def value(pb, found):
    if found is None:
        return pb.FeatureValue(missing=pb.Missing())
    if isinstance(found, str):
        return pb.FeatureValue(category=found)
    return pb.FeatureValue(number=found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stubs", required=True, help="folder that generate.sh wrote")
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--model", default="churn")
    args = parser.parse_args()
    sys.path.insert(0, args.stubs)
    from segue.v1 import scoring_pb2 as pb
    from segue.v1 import scoring_pb2_grpc

    stub = scoring_pb2_grpc.ScoringServiceStub(connect(args.server))
    selector = pb.ModelSelector(model=args.model)
    packer = Packer(stub, pb, args.model)
    # A row for any model: its first category, or a small number.
    row = {one.name: one.vocabulary[0] if one.vocabulary else 1.5 for one in packer.schema.features}

    named = pb.NamedFeatures(values={name: value(pb, found) for name, found in row.items()})
    user = pb.FeatureRow(named=named, subject_id="u1")
    options = pb.ScoreOptions(explain=True, top_attributions=3)
    answer = stub.Score(pb.ScoreRequest(models=[selector], row=user, options=options), timeout=DEADLINE_SECONDS)
    prediction, by = answer.result.predictions[0], answer.served_by[0]
    print(f"{prediction.score:.4f} by {by.model}/{by.version}, segment {answer.result.segment or '(none)'}")
    for reason in prediction.attributions:
        print(f"  {reason.contribution:+.4f} {reason.behaviour}")

    packed = packer.score(row, "u1").result.predictions[0].score
    if packed != prediction.score:
        sys.exit(f"packed {packed!r} is not named {prediction.score!r}")
    print("the packed row has the same score, bit for bit")

    # The schema of before a promotion is refused, and asked for again.
    packer.schema.digest = "0" * 64
    if packer.score(row, "u1").result.predictions[0].score != prediction.score:
        sys.exit("another score after the schema was asked for again")

    # One bad row of a batch has an error of its own.
    bad = pb.FeatureRow(named=pb.NamedFeatures(values={"no_such_feature": pb.FeatureValue(number=1)}))
    batch = pb.ScoreBatchRequest(models=[selector], rows=[user, bad], allow_partial=True)
    first, second = stub.ScoreBatch(batch, timeout=DEADLINE_SECONDS).results
    if first.row.predictions[0].score != prediction.score or second.WhichOneof("result") != "error":
        sys.exit(f"expected a score and an error: {first} {second}")

    try:
        stub.Score(pb.ScoreRequest(models=[selector], row=bad), timeout=DEADLINE_SECONDS)
        sys.exit("a row without its features was scored")
    except grpc.RpcError as error:
        found = details(error)
        if found["code"] != "INVALID_ARGUMENT" or found["reason"] != "FEATURE_MISSING" or not found["fields"]:
            sys.exit(f"expected every missing feature: {found}")
        print(f"{found['code']} {found['reason']}")
        for field, description in found["fields"]:
            print(f"  {field}: {description}")


if __name__ == "__main__":
    main()
