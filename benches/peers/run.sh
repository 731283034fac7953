#!/usr/bin/env bash
# Quality beside LightGBM: builds segue, makes a Python environment with the pinned peers, runs the
# real jobs and writes the section of benches/RESULTS.md. Needs python3 with venv, and SEGUE_DATA.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${SEGUE_DATA:?"set SEGUE_DATA to the folder that holds kddcup2015_mooc/, online_retail/, cdnow/, isadev_log/ and tabular/"}
environment=${PEERS_ENV:-"${XDG_CACHE_HOME:-$HOME/.cache}/segue/peers"}

cargo build --release --quiet --bin segue
segue=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/segue

[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement benches/peers/requirements.txt
"$environment/bin/python" benches/peers/lightgbm_quality.py \
    --segue "$segue" --data "$data" --out benches/RESULTS.md \
    jobs/kddcup2015_mooc/churn.toml \
    jobs/online_retail/{conversion,support_need,lifetime_value}.toml \
    jobs/cdnow/lifetime_value.toml \
    jobs/isadev_log/churn.toml \
    jobs/tables/{telco_churn,online_shoppers}.toml "$@"
