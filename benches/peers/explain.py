"""Exact SHAP values: segue beside LightGBM, XGBoost and shap, one thread.

LightGBM and XGBoost fit the same rows (28 columns, 3 % missing, a non-linear logit) with the same
shape: 100 trees of 31 leaves, grown leaf by leaf. segue and shap explain LightGBM's model, so that
three explain the very same trees; the script stops if segue's values are not LightGBM's. All explain
the same fresh rows, in turn; the table holds medians of the CPU time of each library's own call,
without starting a process or reading a file. Prints a Markdown table.

shap hands models of LightGBM back to LightGBM; here it is made to use its own C code.
"""

import argparse
import hashlib
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import lightgbm
import numpy as np
import shap
import xgboost

N_TREES = 100
N_LEAVES = 31


def table(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """10 normals, 8 counts, 4 skewed durations, 4 small categories as codes, 2 uniform; labels."""
    draw = np.random.default_rng(seed)
    normals = draw.normal(size=(n_rows, 10))
    counts = draw.poisson([0.5, 1, 2, 4, 0.2, 8, 1, 3], size=(n_rows, 8))
    durations = draw.lognormal(2.0, 1.2, size=(n_rows, 4))
    codes = draw.integers(0, [3, 5, 8, 12], size=(n_rows, 4))
    uniform = draw.random((n_rows, 2))
    x = np.column_stack([normals, counts, durations, codes, uniform]).astype(float)
    logit = (
        normals[:, 0] - 0.7 * normals[:, 1] * normals[:, 2] + np.sin(2 * normals[:, 3])
        + 0.4 * np.minimum(counts[:, 3], 5) - 0.5 * np.log1p(durations[:, 0])
        + 0.6 * (codes[:, 1] == 2) + np.abs(normals[:, 4]) * (uniform[:, 0] > 0.5)
    )
    label = (draw.random(n_rows) < 1 / (1 + np.exp(-logit))).astype(float)
    x[draw.random(x.shape) < 0.03] = np.nan
    return x, label


def segue_model(model: lightgbm.Booster, n_columns: int) -> bytes:
    """LightGBM's trees as a model.bin (the format is in crates/model/src/codec)."""
    u32, u64, f64 = (lambda v: struct.pack("<I", v)), (lambda v: struct.pack("<Q", v)), (lambda v: struct.pack("<d", v))
    text = lambda words: u64(len(words)) + words.encode()
    names = [f"f{column}" for column in range(n_columns)]
    schema = u64(n_columns) + b"".join(text(name) + b"\0" for name in names)
    task = text("explained") + b"\0" + u64(n_columns) + b"".join(map(text, names)) + b"\0"
    trees = b"\0\1" + u64(1) + f64(0.0) + u64(len(model.dump_model()["tree_info"]))
    for tree in model.dump_model()["tree_info"]:
        nodes, leaves = [], []

        def add(of: dict) -> int:
            """Adds parents before children; the code of a child, leaves with the highest bit set."""
            if "leaf_value" in of:
                leaves.append((of["leaf_value"], of.get("leaf_count", 0)))
                return 1 << 31 | len(leaves) - 1
            at = len(nodes)
            nodes.append(None)
            assert of["decision_type"] == "<=" and of["missing_type"] in ("NaN", "None")
            missing = 2 if of["missing_type"] == "None" else (0 if of["default_left"] else 1)
            question = struct.pack("<IBBd", of["split_feature"], missing, 0, of["threshold"])
            left, right = add(of["left_child"]), add(of["right_child"])
            nodes[at] = question + u32(left) + u32(right) + f64(of["split_gain"]) + f64(of["internal_count"])
            return at

        add(tree["tree_structure"])
        trees += u32(0) + u32(1) + u64(len(nodes)) + b"".join(nodes)
        trees += b"".join(f64(value) for value, _ in leaves) + b"".join(f64(n) for _, n in leaves)
    sections = {"schm": schema, "task": task, "tree": trees, "calb": b"\0"}
    head = b"SEGUEMDL" + u32(1) + u32(len(sections))
    head += b"".join(name.encode() + u64(len(body)) for name, body in sections.items())
    whole = head + b"".join(sections.values())
    return whole + hashlib.sha256(whole).digest()


def bench_binary() -> Path:
    """Builds the bench and finds it."""
    command = ["cargo", "bench", "-p", "segue-model", "--bench", "explaining", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "explaining":
            return Path(message["executable"])
    sys.exit("cargo named no executable")


def cpu_seconds(work) -> float:
    """User and system time of this process, all its threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def largest_gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.max(np.abs(ours - theirs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, help="the bench, if it is built already")
    parser.add_argument("--fit-rows", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    binary = options.binary or bench_binary()

    x, label = table(options.fit_rows, 1)
    fresh, _ = table(options.rows, 2)
    common = {"learning_rate": 0.1, "verbosity": -1}
    by_lightgbm = lightgbm.train(
        common | {"objective": "binary", "num_leaves": N_LEAVES, "num_threads": 1, "seed": 1},
        lightgbm.Dataset(x, label), N_TREES,
    )
    by_xgboost = xgboost.train(
        {"eta": 0.1, "objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide",
         "max_leaves": N_LEAVES, "max_depth": 0, "nthread": 1, "seed": 1, "verbosity": 0},
        xgboost.DMatrix(x, label, nthread=1), N_TREES,
    )
    fresh_xgboost = xgboost.DMatrix(fresh, nthread=1)
    explainer = shap.TreeExplainer(by_lightgbm, feature_perturbation="tree_path_dependent")
    explainer.model.model_type = "made to use its own code"

    with tempfile.TemporaryDirectory() as folder:
        model, rows, out = (Path(folder) / name for name in ("model.bin", "rows.f64", "out.f64"))
        model.write_bytes(segue_model(by_lightgbm, x.shape[1]))
        rows.write_bytes(fresh.astype("<f8").tobytes())

        def segue() -> dict:
            command = [binary, "--model", model, "--rows", rows, "--out", out, "--passes", "1"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            return json.loads(done.stdout.splitlines()[-1])

        ours = segue()
        values = np.fromfile(out, "<f8").reshape(fresh.shape)
        theirs = by_lightgbm.predict(fresh, pred_contrib=True, num_threads=1)[:, :-1]
        gap = largest_gap(values, theirs)
        if not gap < 1e-9:
            sys.exit(f"segue's values are not LightGBM's: {gap}")
        own = np.asarray(explainer.shap_values(fresh))
        shap_gap = largest_gap(own, theirs)
        if not shap_gap < 1e-3:
            sys.exit(f"shap's values are not LightGBM's: {shap_gap}")

        seconds: dict[str, list[float]] = {}
        note = lambda name, value: seconds.setdefault(name, []).append(value)
        for _ in range(options.rounds):
            ours = segue()
            note("segue, all rows", ours["together"]["cpu_ns"] * 1e-9 * options.rows)
            note("segue, row by row", ours["alone"]["cpu_ns"] * 1e-9 * options.rows)
            note("LightGBM", cpu_seconds(lambda: by_lightgbm.predict(fresh, pred_contrib=True, num_threads=1)))
            note("XGBoost", cpu_seconds(lambda: by_xgboost.predict(fresh_xgboost, pred_contribs=True)))
            note("shap", cpu_seconds(lambda: explainer.shap_values(fresh)))

    micros = {name: statistics.median(of) / options.rows * 1e6 for name, of in seconds.items()}
    versions = {"LightGBM": lightgbm.__version__, "XGBoost": xgboost.__version__, "shap": shap.__version__}
    best = min(micros[name] for name in versions)
    lines = [
        f"{N_TREES} trees of {N_LEAVES} leaves over {x.shape[1]} columns, {options.rows:,} fresh rows, one thread, "
        f"median CPU time of {options.rounds} interleaved rounds (`benches/peers/explain.py`). segue, LightGBM and shap "
        "explain the same trees, XGBoost its own of the same shape. Largest difference between segue's values and "
        f"LightGBM's: {gap:.1e}.",
        "",
        "| library | us a row | best peer is slower by |",
        "|---|---|---|",
    ]
    for name, of in sorted(micros.items(), key=lambda item: item[1]):
        version = versions.get(name)
        times = "" if version else f"{best / of:.1f}x"
        lines.append(f"| {name}{f' {version}' if version else ''} | {of:.1f} | {times} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
