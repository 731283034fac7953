"""Foreign models beside the libraries that made them.

Fits small models of every kind with LightGBM, XGBoost and scikit-learn, saves them in each format, and
compares what `exchange` (crates/model/examples/exchange.rs) makes of the files with what the libraries
themselves predict, on rows chosen to be hard: values exactly on thresholds and on the numbers next to
them in double and single precision, the midpoints that rounding to single decides, NaN, signed zeros,
1e-36, categories that no fit has seen. Then the way back: `exchange export`, loaded by the libraries.

    cargo build -p segue-model --example exchange
    python tests/exchange/compare.py --exchange target/debug/examples/exchange

Needs requirements.txt beside this file. Exit code 1 if anything differs by more than is stated.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import xgboost as xgb

warnings.filterwarnings("ignore")
ort.set_default_logger_severity(4)
N_TRAIN, N_BASE, N_PROBES = 800, 300, 1500
LEVELS = ["ash", "birch", "cedar", "fir", "oak", "pine", "yew"]


class Checker:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.n_failed = binary, folder, 0

    def score(self, model, rows):
        """Leaves, margins and predictions of rows of cells."""
        path = self.folder / "rows.csv"
        cell = lambda value: value if isinstance(value, str) else "" if np.isnan(value) else repr(float(value))
        path.write_text("\n".join(",".join(cell(v) for v in row) for row in rows) + "\n")
        run = subprocess.run([self.binary, "score", model, path], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(run.stderr.strip())
        found = [json.loads(line) for line in run.stdout.splitlines()]
        return [np.array([row[key] for row in found]) for key in ("leaves", "margins", "predictions")]

    def export(self, model, kind, out):
        run = subprocess.run([self.binary, "export", model, kind, out], capture_output=True, text=True)
        return None if run.returncode == 0 else run.stderr.strip().splitlines()[-1]

    def report(self, name, n_rows, n_leaves_off, largest, tolerance):
        ok = n_leaves_off in (0, None) and largest <= tolerance
        self.n_failed += not ok
        leaves = "-" if n_leaves_off is None else n_leaves_off
        line = f"{'ok  ' if ok else 'FAIL'} {name:52} {n_rows:5} rows  leaves off {leaves}  score off {largest:.1e} (allowed {tolerance:.0e})"
        print(line, flush=True)

    def failed(self, name, why):
        self.n_failed += 1
        print(f"FAIL {name:52} {why}", flush=True)


def difference(found, expected):
    found, expected = np.asarray(found, float).ravel(), np.asarray(expected, float).ravel()
    return float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))


def numbers(rng, n, missing=0.1, zeros=0.2):
    x = rng.normal(size=(n, 4)) * [1, 10, 1e-3, 1e4]
    x[rng.random(x.shape) < zeros] = 0.0
    x[rng.random(x.shape) < missing] = np.nan
    return x


def neighbours(t):
    """Values around a threshold that a wrong comparison sends to the wrong side."""
    t, s = float(t), np.float32(t)
    with np.errstate(all="ignore"):
        lower, upper = np.nextafter(s, np.float32(-np.inf)), np.nextafter(s, np.float32(np.inf))
        middles = [(float(lower) + float(s)) / 2, (float(upper) + float(s)) / 2]
        near = [t, float(s), float(lower), float(upper), *middles]
        near += [np.nextafter(v, d) for v in (t, *middles) for d in (-np.inf, np.inf)]
    return [v for v in near if abs(v) < 1e38]


def probes(rng, base, thresholds):
    """Base rows with one value replaced; thresholds are (column, threshold)."""
    special = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1e-34, 1e-45, -1e-45, 2.0**-150, 1e30]
    pairs = [(c, v) for c in range(base.shape[1]) for v in special]
    pairs += [(c, v) for c, t in thresholds for v in neighbours(t)]
    if len(pairs) > N_PROBES:
        pairs = [pairs[i] for i in sorted(rng.choice(len(pairs), N_PROBES, replace=False))]
    rows = base[rng.integers(0, len(base), len(pairs))].copy()
    for row, (column, value) in zip(rows, pairs):
        row[column] = value
    return np.vstack([base, rows])


# ---- LightGBM

def lightgbm_thresholds(booster):
    frame = booster.trees_to_dataframe()
    frame = frame[frame.decision_type == "<="]
    columns = {name: at for at, name in enumerate(booster.feature_name())}
    return [(columns[f], t) for f, t in zip(frame.split_feature, frame.threshold.astype(float))]


def lightgbm_models(rng):
    x = numbers(rng, N_TRAIN)
    signal = np.nan_to_num(x[:, 0]) + (np.nan_to_num(x[:, 1]) > 3) - np.isnan(x[:, 2])
    noise = rng.normal(size=N_TRAIN) * 0.3
    labels = {
        "binary": (signal + noise > 0).astype(int),
        "multiclass": np.digitize(signal + noise, [-0.5, 0.5]),
        "regression": signal * 10 + noise,
        "positive": np.exp(signal / 2),
        "counts": rng.poisson(np.exp(np.clip(signal, -2, 2) / 2)),
    }
    common = {"num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "seed": 3}
    cases = {
        "binary": ("binary", {"objective": "binary"}),
        "binary sigmoid 2": ("binary", {"objective": "binary", "sigmoid": 2.0}),
        "binary sigmoid 0.7": ("binary", {"objective": "binary", "sigmoid": 0.7}),
        "binary missing none": ("binary", {"objective": "binary", "use_missing": False}),
        "binary missing zero": ("binary", {"objective": "binary", "zero_as_missing": True}),
        "binary dart": ("binary", {"objective": "binary", "boosting": "dart"}),
        "binary rf": ("binary", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}),
        "binary monotone": ("binary", {"objective": "binary", "monotone_constraints": [1, -1, 0, 0]}),
        "binary quantised": ("binary", {"objective": "binary", "use_quantized_grad": True}),
        "cross_entropy": ("binary", {"objective": "cross_entropy"}),
        "multiclass": ("multiclass", {"objective": "multiclass", "num_class": 3}),
        "multiclass rf": ("multiclass", {"objective": "multiclass", "num_class": 3, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}),
        "regression": ("regression", {"objective": "regression"}),
        "regression_l1": ("regression", {"objective": "regression_l1"}),
        "huber": ("regression", {"objective": "huber"}),
        "quantile": ("regression", {"objective": "quantile", "alpha": 0.9}),
        "regression rf": ("regression", {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}),
        "poisson": ("counts", {"objective": "poisson"}),
        "gamma": ("positive", {"objective": "gamma"}),
        "tweedie": ("counts", {"objective": "tweedie"}),
        "one leaf": ("binary", {"objective": "binary", "min_data_in_leaf": 10_000}),
    }
    for name, (label, parameters) in cases.items():
        yield name, x, lgb.train({**common, **parameters}, lgb.Dataset(x, labels[label]), 20)


def check_lightgbm(checker, rng):
    for name, x, booster in lightgbm_models(rng):
        path = checker.folder / "model.txt"
        booster.save_model(path)
        rows = probes(rng, x[:N_BASE], lightgbm_thresholds(booster))
        leaves, margins, predictions = checker.score(path, rows)
        off = int(np.sum(leaves != booster.predict(rows, pred_leaf=True).reshape(leaves.shape)))
        raw = booster.predict(rows, raw_score=True)
        # raw scores of a forest are sums there
        scale = {"binary sigmoid 2": 2.0, "binary sigmoid 0.7": 0.7}.get(name, 0.05 if name.endswith("rf") else 1.0)
        tolerance = 1e-14 if scale not in (1.0, 2.0) else 0.0
        checker.report(f"import lightgbm, {name}: margin", len(rows), off, difference(margins, raw * scale), tolerance)
        checker.report(f"import lightgbm, {name}: prediction", len(rows), None, difference(predictions, booster.predict(rows)), 1e-14)
        # XGBoost knows neither missing as zero nor a test for it; ours takes such a question apart
        back_to_lightgbm(checker, f"lightgbm, {name}", path, rows, predictions)
        back_to_xgboost(checker, f"lightgbm, {name}", path, rows, predictions)
        back_to_onnx(checker, f"lightgbm, {name}", path, rows, predictions)


def category_frame(rng, n):
    x = numbers(rng, n)
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    frame["tree"] = pd.Categorical(rng.choice(LEVELS, n), categories=LEVELS)
    frame["size"] = pd.Categorical(rng.choice([5, 7, 40], n), categories=[5, 7, 40])
    frame.loc[rng.random(n) < 0.1, "tree"] = np.nan
    y = (np.nan_to_num(x[:, 0]) + frame.tree.isin(["ash", "oak"]) + (frame["size"] == 40) + rng.normal(size=n) * 0.3 > 0.8).astype(int)
    return frame, y


def check_lightgbm_categories(checker, rng):
    frame, y = category_frame(rng, N_TRAIN)
    parameters = {"objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "cat_smooth": 1, "min_data_per_group": 5}
    for one_hot in (1, 16):
        booster = lgb.train({**parameters, "max_cat_to_onehot": one_hot}, lgb.Dataset(frame, y), 20)
        path = checker.folder / "model.txt"
        booster.save_model(path)
        sample = frame.iloc[:N_BASE]
        unseen = sample.copy()
        unseen["tree"] = pd.Categorical(["larch"] * len(sample), categories=LEVELS + ["larch"])
        rows = [[*r[:4], r[4] if isinstance(r[4], str) else np.nan, str(r[5])] for f in (sample, unseen) for r in f.astype(object).values]
        leaves, margins, _ = checker.score(path, rows)
        expected = np.vstack([booster.predict(f, pred_leaf=True) for f in (sample, unseen)])
        raw = np.concatenate([booster.predict(f, raw_score=True) for f in (sample, unseen)])
        name = f"lightgbm, pandas categories, one-hot up to {one_hot}"
        checker.report(f"import {name}", len(rows), int(np.sum(leaves != expected)), difference(margins, raw), 0.0)
        out = checker.folder / "back.txt"
        if why := checker.export(path, "lightgbm", out):
            checker.failed(f"export {name}", why)
            continue
        again = lgb.Booster(model_file=out)
        raw_again = np.concatenate([again.predict(f, raw_score=True) for f in (sample, unseen)])
        checker.report(f"export {name} -> lightgbm", len(rows), None, difference(raw_again, raw), 0.0)
    # categories as plain numbers, with holes, negative and fractional ones
    x = numbers(rng, N_TRAIN)
    x[:, 3] = rng.choice([0, 3, 4, 70, 200], N_TRAIN)
    y = (np.isin(x[:, 3], [3, 200]) + np.nan_to_num(x[:, 0]) > 0.7).astype(int)
    booster = lgb.train({**parameters, "max_cat_to_onehot": 1}, lgb.Dataset(x, y, categorical_feature=[3]), 20)
    path = checker.folder / "model.txt"
    booster.save_model(path)
    rows = x[:N_BASE].copy()
    rows[:60, 3] = np.tile([np.nan, -1, -7, 5, 71, 100_000], 10)
    cells = [[*row[:3], np.nan if np.isnan(row[3]) else str(int(row[3]))] for row in rows]
    leaves, margins, _ = checker.score(path, cells)
    off = int(np.sum(leaves != booster.predict(rows, pred_leaf=True)))
    checker.report("import lightgbm, numbered categories", len(rows), off, difference(margins, booster.predict(rows, raw_score=True)), 0.0)


# ---- XGBoost

def xgboost_document(path):
    return json.loads(path.read_text())["learner"]["gradient_booster"]


def xgboost_leaves(booster, data, document):
    """Leaf nodes as positions among the leaves of their tree, which is how ours are numbered."""
    model = document["gbtree"]["model"] if "gbtree" in document else document["model"]
    nodes = booster.predict(data, pred_leaf=True).reshape(data.num_row(), -1).astype(int)
    out = np.zeros_like(nodes)
    for at, tree in enumerate(model["trees"]):
        # pruned nodes stay in the file, where nothing leads to them
        reached, leaf = [0], np.zeros(len(tree["left_children"]), bool)
        for node in reached:
            children = [tree["left_children"][node], tree["right_children"][node]]
            leaf[node] = children[0] == -1
            reached += [] if leaf[node] else children
        position = np.cumsum(leaf) - 1
        out[:, at] = position[nodes[:, at]]
    return out


def xgboost_thresholds(document):
    model = document["gbtree"]["model"] if "gbtree" in document else document["model"]
    return [(f, t) for tree in model["trees"] for f, t, left in zip(tree["split_indices"], tree["split_conditions"], tree["left_children"]) if left != -1]


def check_xgboost(checker, rng):
    x = numbers(rng, N_TRAIN)
    signal = np.nan_to_num(x[:, 0]) + (np.nan_to_num(x[:, 1]) > 3) - np.isnan(x[:, 2])
    noise = rng.normal(size=N_TRAIN) * 0.3
    binary, classes = (signal + noise > 0).astype(int), np.digitize(signal + noise, [-0.5, 0.5])
    counts, amounts = rng.poisson(np.exp(np.clip(signal, -2, 2) / 2)), np.exp(signal / 2)
    common = {"max_depth": 4, "nthread": 1, "seed": 3}
    cases = {
        "binary:logistic": (binary, {"objective": "binary:logistic"}),
        "binary:logistic, base_score .2": (binary, {"objective": "binary:logistic", "base_score": 0.2}),
        "binary exact": (binary, {"objective": "binary:logistic", "tree_method": "exact"}),
        "binary lossguide": (binary, {"objective": "binary:logistic", "grow_policy": "lossguide", "max_leaves": 12}),
        "binary pruned": (binary, {"objective": "binary:logistic", "tree_method": "exact", "gamma": 5}),
        "binary dart": (binary, {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3}),
        "binary forest": (binary, {"objective": "binary:logistic", "num_parallel_tree": 5, "subsample": 0.7}),
        "binary monotone": (binary, {"objective": "binary:logistic", "monotone_constraints": "(1,-1,0,0)"}),
        "multi:softprob": (classes, {"objective": "multi:softprob", "num_class": 3}),
        "multi vector leaves": (classes, {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree", "tree_method": "hist"}),
        "reg:squarederror": (signal * 10 + noise, {"objective": "reg:squarederror"}),
        "reg:absoluteerror": (signal * 10 + noise, {"objective": "reg:absoluteerror"}),
        "count:poisson": (counts, {"objective": "count:poisson"}),
        "reg:gamma": (amounts, {"objective": "reg:gamma"}),
        "reg:tweedie": (counts, {"objective": "reg:tweedie"}),
    }
    for name, (y, parameters) in cases.items():
        booster = xgb.train({**common, **parameters}, xgb.DMatrix(x, y), 20)
        path, binary_path = checker.folder / "model.json", checker.folder / "model.ubj"
        booster.save_model(path)
        booster.save_model(binary_path)
        document = xgboost_document(path)
        rows = probes(rng, x[:N_BASE], xgboost_thresholds(document))
        data = xgb.DMatrix(rows)
        for kind, file in (("json", path), ("ubjson", binary_path)):
            leaves, margins, predictions = checker.score(file, rows)
            expected = None if "vector" in name else xgboost_leaves(booster, data, document)
            off = None if expected is None else int(np.sum(leaves != expected))
            checker.report(f"import xgboost {kind}, {name}: margin", len(rows), off, difference(margins, booster.predict(data, output_margin=True)), 5e-6)
        checker.report(f"import xgboost, {name}: prediction", len(rows), None, difference(predictions, booster.predict(data)), 5e-6)
        back_to_lightgbm(checker, f"xgboost, {name}", path, rows, predictions)
        back_to_xgboost(checker, f"xgboost, {name}", path, rows, predictions, reads_double=True)
        back_to_onnx(checker, f"xgboost, {name}", path, rows, predictions)


def check_xgboost_categories(checker, rng):
    frame, y = category_frame(rng, N_TRAIN)
    frame["tree"] = frame["tree"].cat.rename_categories(str)
    for one_hot in (1, 16):
        parameters = {"objective": "binary:logistic", "max_depth": 4, "max_cat_to_onehot": one_hot, "nthread": 1}
        booster = xgb.train(parameters, xgb.DMatrix(frame, y, enable_categorical=True), 20)
        path, binary_path = checker.folder / "model.json", checker.folder / "model.ubj"
        booster.save_model(path)
        booster.save_model(binary_path)
        sample = frame.iloc[:N_BASE]
        rows = [[*r[:4], r[4] if isinstance(r[4], str) else np.nan, str(r[5])] for r in sample.astype(object).values]
        data = xgb.DMatrix(sample, enable_categorical=True)
        for kind, file in (("json", path), ("ubjson", binary_path)):
            leaves, margins, _ = checker.score(file, rows)
            off = int(np.sum(leaves != xgboost_leaves(booster, data, xgboost_document(path))))
            checker.report(f"import xgboost {kind}, categories by name, one-hot {one_hot}", len(rows), off, difference(margins, booster.predict(data, output_margin=True)), 5e-6)
        out = checker.folder / "back.json"
        name = f"export xgboost, categories, one-hot {one_hot} -> xgboost"
        if why := checker.export(path, "xgboost", out):
            checker.failed(name, why)
            continue
        again = xgb.Booster(model_file=out)
        checker.report(name, len(rows), None, difference(again.predict(data, output_margin=True), margins), 5e-6)
    # by number, with codes that no fit has seen
    x = numbers(rng, N_TRAIN)
    x[:, 3] = rng.choice(9, N_TRAIN)
    y = (np.isin(x[:, 3], [3, 8]) + np.nan_to_num(x[:, 0]) > 0.7).astype(int)
    matrix = lambda x, y=None: xgb.DMatrix(x, y, feature_types=["q", "q", "q", "c"], enable_categorical=True)
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 4, "max_cat_to_onehot": 1, "nthread": 1}, matrix(x, y), 20)
    path = checker.folder / "model.json"
    booster.save_model(path)
    rows = x[:N_BASE].copy()
    rows[:40, 3] = np.tile([np.nan, 9, 31, 5000], 10)
    cells = [[*row[:3], np.nan if np.isnan(row[3]) else str(int(row[3]))] for row in rows]
    leaves, margins, _ = checker.score(path, cells)
    off = int(np.sum(leaves != xgboost_leaves(booster, matrix(rows), xgboost_document(path))))
    checker.report("import xgboost, numbered categories", len(rows), off, difference(margins, booster.predict(matrix(rows), output_margin=True)), 5e-6)


# ---- ONNX

def onnx_scores(path, rows):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    kind = np.float64 if feed.type == "tensor(double)" else np.float32
    with np.errstate(all="ignore"):
        out = session.run(None, {feed.name: np.asarray(rows, float).astype(kind)})[-1]
    if isinstance(out, list):
        out = np.array([[row[key] for key in sorted(row)] for row in out])
    return np.asarray(out)


def onnx_thresholds(path):
    found = []
    for node in onnx.load(path).graph.node:
        values = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_featureids" in values:
            splits = values.get("nodes_values")
            splits = splits.floats if splits else onnx.numpy_helper.to_array((values.get("nodes_values_as_tensor") or values["nodes_splits"]).t)
            found += zip(values["nodes_featureids"].ints, splits)
    return found


def check_onnx(checker, rng):
    from onnxmltools.convert import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, GradientBoostingRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeClassifier

    x = numbers(rng, N_TRAIN, missing=0.0).astype(np.float32)
    signal = x[:, 0] + (x[:, 1] > 3)
    noise = rng.normal(size=N_TRAIN) * 0.3
    two, three, amount = (signal + noise > 0).astype(int), np.digitize(signal + noise, [-0.5, 0.5]), signal * 10 + noise
    plain, version_3 = {"zipmap": False}, {"": 18, "ai.onnx.ml": 3}
    skl = lambda model, y, kind=np.float32, **options: lambda: to_onnx(model.fit(x, y), x[:1].astype(kind), **options)
    kinds = [("input", FloatTensorType([None, 4]))]
    forest = {"n_estimators": 15, "max_depth": 5, "random_state": 0}
    small = {"n_estimators": 15, "num_leaves": 8, "verbose": -1, "n_jobs": 1}
    boosted = {"n_estimators": 15, "max_depth": 3, "n_jobs": 1}
    cases = {
        "sklearn random forest, 2 classes": skl(RandomForestClassifier(**forest), two),
        "sklearn random forest, 3 classes": skl(RandomForestClassifier(**forest), three, options=plain),
        "sklearn random forest regressor": skl(RandomForestRegressor(**forest), amount),
        "sklearn random forest regressor, double": skl(RandomForestRegressor(**forest), amount, np.float64, target_opset=version_3),
        "sklearn random forest, 3 classes, version 3": skl(RandomForestClassifier(**forest), three, options=plain, target_opset=version_3),
        "sklearn extra trees": skl(ExtraTreesClassifier(**forest), two),
        "sklearn decision tree": skl(DecisionTreeClassifier(max_depth=5), three),
        "sklearn boosting, 2 classes": skl(GradientBoostingClassifier(n_estimators=15), two),
        "sklearn boosting, 3 classes": skl(GradientBoostingClassifier(n_estimators=15), three),
        "sklearn boosting regressor": skl(GradientBoostingRegressor(n_estimators=15), amount),
        "sklearn hist boosting regressor": skl(HistGradientBoostingRegressor(max_iter=15), amount, target_opset=version_3),
        "lightgbm, 2 classes": lambda: convert_lightgbm(lgb.LGBMClassifier(**small).fit(x, two), initial_types=kinds),
        "lightgbm, 3 classes": lambda: convert_lightgbm(lgb.LGBMClassifier(**small).fit(x, three), initial_types=kinds),
        "lightgbm, poisson": lambda: convert_lightgbm(lgb.LGBMRegressor(objective="poisson", **small).fit(x, three), initial_types=kinds),
        "xgboost, 2 classes": lambda: convert_xgboost(xgb.XGBClassifier(**boosted).fit(x, two), initial_types=kinds),
        "xgboost, 3 classes": lambda: convert_xgboost(xgb.XGBClassifier(**boosted).fit(x, three), initial_types=kinds),
        "xgboost, regression": lambda: convert_xgboost(xgb.XGBRegressor(**boosted).fit(x, amount), initial_types=kinds),
    }
    for name, make in cases.items():
        path = checker.folder / "model.onnx"
        try:
            made = make()
        except Exception as error:  # the converter's own limits are not ours to check
            print(f"skip import onnx, {name}: the converter says {str(error).splitlines()[0][:90]}", flush=True)
            continue
        path.write_bytes(getattr(made, "model", made).SerializeToString())
        rows = probes(rng, x[:N_BASE].astype(float), onnx_thresholds(path))
        try:
            _, _, predictions = checker.score(path, rows)
        except RuntimeError as error:
            checker.failed(f"import onnx, {name}", str(error))
            continue
        try:
            expected = onnx_scores(path, rows)
        except Exception as error:
            print(f"skip import onnx, {name}: ONNX Runtime says {str(error)[:90]}", flush=True)
            continue
        if predictions.shape[1] == 1 and expected.ndim == 2 and expected.shape[1] == 2:
            expected = expected[:, 1]
        checker.report(f"import onnx, {name}", len(rows), None, difference(predictions, expected), 5e-6)
        back_to_lightgbm(checker, f"onnx, {name}", path, rows, predictions)
        back_to_onnx(checker, f"onnx, {name}", path, rows, predictions)


# ---- the way back

def back_to_lightgbm(checker, name, path, rows, predictions):
    out = checker.folder / "back.txt"
    if why := checker.export(path, "lightgbm", out):
        return checker.failed(f"export {name} -> lightgbm", why)
    # LightGBM reads what is that small as 0, whatever wrote the model
    rows = np.where(np.abs(rows) <= float(np.float32(1e-35)), 0.0, rows)
    _, _, predictions = checker.score(path, rows)
    found = clipped(lgb.Booster(model_file=out).predict(rows), name)
    checker.report(f"export {name} -> lightgbm", len(rows), None, difference(found, predictions), 1e-14)


def clipped(found, name):
    """Sums of rounded probabilities leave 0 to 1 by a rounding, which ours cuts off."""
    return np.clip(found, 0, 1) if "sklearn" in name and "regressor" not in name else found


def back_to_xgboost(checker, name, path, rows, predictions, reads_double=False):
    out = checker.folder / "back.json"
    if why := checker.export(path, "xgboost", out):
        return checker.failed(f"export {name} -> xgboost", why)
    if not reads_double:
        # only rows of single precision are promised to take the same branches
        with np.errstate(all="ignore"):
            rows = np.asarray(rows, float).astype(np.float32).astype(float)
        _, _, predictions = checker.score(path, rows)
    booster = xgb.Booster(model_file=out)
    found = booster.predict(xgb.DMatrix(rows), validate_features=False)
    checker.report(f"export {name} -> xgboost", len(rows), None, difference(found, predictions), 5e-6)


def back_to_onnx(checker, name, path, rows, predictions):
    out = checker.folder / "back.onnx"
    if why := checker.export(path, "onnx", out):
        return checker.failed(f"export {name} -> onnx", why)
    found = clipped(onnx_scores(out, rows), name)
    checker.report(f"export {name} -> onnx", len(rows), None, difference(found, predictions), 1e-12)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--exchange", required=True, type=Path, help="the example's binary")
    arguments.add_argument("--seed", type=int, default=7)
    arguments = arguments.parse_args()
    versions = {module.__name__: module.__version__ for module in (lgb, xgb, onnx, ort)}
    print(versions, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(arguments.exchange.resolve(), Path(folder))
        for check in (check_lightgbm, check_lightgbm_categories, check_xgboost, check_xgboost_categories, check_onnx):
            check(checker, np.random.default_rng(arguments.seed))
    print(f"{checker.n_failed} failed")
    sys.exit(checker.n_failed > 0)


if __name__ == "__main__":
    main()
