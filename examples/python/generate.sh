#!/usr/bin/env bash
# Writes the stubs of segue.v1 into a folder: examples/python/generate.sh FOLDER
set -euo pipefail
if [ $# -ne 1 ]; then
    sed -n '2s/^# //p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(realpath "$1")
cd "$(dirname "$0")/../../proto"
# google/rpc/status.proto comes with googleapis-common-protos.
"${PYTHON:-python3}" -m grpc_tools.protoc --proto_path=. \
    --python_out="$folder" --pyi_out="$folder" --grpc_python_out="$folder" segue/v1/*.proto
