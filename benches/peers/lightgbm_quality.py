"""Quality beside LightGBM on the very same rows.

For each job: `segue features` writes the feature table with its split, `segue train` fits and
publishes into a scratch registry, `segue score` scores that table. LightGBM then fits the same train
rows with the same parameters, stops early on the same calibrate rows, and both are measured on the
same test rows by the same code here. The figures go into a Markdown file between two markers.

Beside the two learners the table holds what they must be read against: the best single feature
(chosen on the train rows, measured on the test rows), a bootstrap interval of the difference (whole
users are drawn), LightGBM with slightly other bins, which should change nothing, and the
calibration error that a perfectly calibrated model would show on so many test rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from results import write_section

KEYS = ["user", "t", "split", "label"]
CALIBRATION_BINS = 15  # as in the report of segue
BOOTSTRAP_DRAWS = 1000
NEAR_BINS = [127, 191, 250, 254]

# our parameter -> LightGBM's, where both mean the same
PARAMETERS = {
    "learning_rate": "learning_rate",
    "leaves": "num_leaves",
    "min_rows_per_leaf": "min_data_in_leaf",
    "min_hessian_per_leaf": "min_sum_hessian_in_leaf",
    "l1": "lambda_l1",
    "l2": "lambda_l2",
    "min_gain": "min_gain_to_split",
    "max_bins": "max_bin",
    "row_share": "bagging_fraction",
    "column_share": "feature_fraction",
    "positive_weight": "scale_pos_weight",
}


@dataclass
class Table:
    """Features, labels and users of one part of the rows."""

    features: pd.DataFrame
    label: np.ndarray
    user: np.ndarray


@dataclass
class Outcome:
    """The figures of one job."""

    model: str
    task: str
    rows: tuple[int, int, int]
    columns: int
    rounds: tuple[int, int]
    ours: float
    theirs: float
    near: tuple[float, float]
    interval: tuple[float, float]
    single: tuple[str, float]
    calibration: float | None = None
    calibration_floor: tuple[float, float] | None = None
    log_loss: tuple[float, float] | None = None
    rmse: tuple[float, float, float] | None = None


def segue(binary: Path, *arguments: str | Path) -> str:
    """Standard output of one command; its own message on failure."""
    command = [str(binary), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_parts(path: Path) -> dict[str, Table]:
    """The feature table by part; texts as one set of categories for all parts."""
    frame = pd.read_parquet(path)
    users = frame["user"] if "user" in frame else pd.Series(np.arange(len(frame)))
    features = frame.drop(columns=[key for key in KEYS if key in frame])
    for name in features.columns:
        if not pd.api.types.is_numeric_dtype(features[name]):
            features[name] = features[name].astype("category")
    return {
        part: Table(features[rows], frame["label"].to_numpy(float)[rows], users.to_numpy()[rows])
        for part in ("train", "calibrate", "test")
        if (rows := (frame["split"] == part).to_numpy()).any()
    }


def fit_lightgbm(parts: dict[str, Table], learner: dict, binary: bool):
    """Same rows, same parameters."""
    parameters = {PARAMETERS[key]: learner[key] for key in PARAMETERS if key in learner}
    parameters |= {
        "objective": "binary" if binary else "regression",
        "metric": "binary_logloss" if binary else "l2",
        "max_depth": learner["max_depth"] or -1,
        "bagging_freq": int(learner["row_share"] < 1.0),
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "seed": 42,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(parts["train"].features, parts["train"].label)
    valid = data.create_valid(parts["calibrate"].features, parts["calibrate"].label)
    patience = learner["early_stopping_rounds"]
    callbacks = [lightgbm.early_stopping(patience, verbose=False)] if patience else []
    return lightgbm.train(parameters, data, learner["rounds"], valid_sets=[valid], callbacks=callbacks)


def ours_on_test(binary: Path, job: Path, data: Path, table: Path, scratch: Path):
    """Trains, publishes into a scratch registry, scores the table; the test rows' scores."""
    registry = scratch / "registry"
    trained = json.loads(segue(binary, "train", job, "--data", data, "--registry", registry, "--json", "-q"))
    scores = scratch / "scores.parquet"
    segue(
        binary,
        "score",
        f"{trained['model']}@{trained['version']}",
        "--features",
        table,
        "--registry",
        registry,
        "--keep",
        "split",
        "-o",
        scores,
        "-q",
    )
    frame = pd.read_parquet(scores)
    return trained, frame.loc[frame["split"] == "test", trained["model"]].to_numpy(float)


def rank_quality(label: np.ndarray, score: np.ndarray, binary: bool) -> float:
    """AUC, or Spearman's correlation for values."""
    if binary:
        return float(roc_auc_score(label, score))
    return float(spearmanr(label, score).statistic)


def calibration_error(label: np.ndarray, score: np.ndarray) -> float:
    """Mean gap over bins of equal mass; equal scores stay in one bin."""
    order = np.argsort(score, kind="stable")
    label, score = label[order], score[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0.0, True)) + 1
    total, start, n_bins, error = len(label), 0, 0, 0.0
    for end in ends:
        if end == total or end >= (n_bins + 1) * total / CALIBRATION_BINS * (1.0 - 1e-12):
            error += abs(score[start:end].sum() - label[start:end].sum())
            start, n_bins = end, n_bins + 1
    return error / total


def calibration_floor(score: np.ndarray) -> tuple[float, float]:
    """Mean and 95th percentile of the error if every score were exactly true."""
    draw = np.random.default_rng(7)
    errors = [calibration_error((draw.random(len(score)) < score) * 1.0, score) for _ in range(500)]
    return float(np.mean(errors)), float(np.percentile(errors, 95))


def log_loss(label: np.ndarray, score: np.ndarray) -> float:
    score = np.clip(score, 1e-15, 1.0 - 1e-15)
    return float(-np.mean(np.where(label > 0.5, np.log(score), np.log1p(-score))))


def best_single(parts: dict[str, Table], binary: bool) -> tuple[str, float]:
    """Chosen with its direction on the train rows; categories by their train mean."""
    train, test = parts["train"], parts["test"]
    best = ("", -1.0, 0.0)
    for name in train.features.columns:
        known, later = train.features[name], test.features[name]
        if isinstance(known.dtype, pd.CategoricalDtype):
            means = pd.Series(train.label).groupby(known.astype(str).to_numpy()).mean()
            known, later = (column.astype(str).map(means).fillna(train.label.mean()) for column in (known, later))
        middle = known.median()
        known, later = known.fillna(middle).to_numpy(float), later.fillna(middle).to_numpy(float)
        if np.isnan(middle) or np.ptp(known) == 0.0:
            continue
        chance = 0.5 if binary else 0.0
        fit = rank_quality(train.label, known, binary) - chance
        if abs(fit) > best[1]:
            sign = 1.0 if fit >= 0.0 else -1.0
            best = (name, abs(fit), rank_quality(test.label, sign * later, binary))
    return best[0], best[2]


def difference_interval(test: Table, ours: np.ndarray, theirs: np.ndarray, binary: bool):
    """95 % bootstrap interval of ours - theirs; whole users are drawn."""
    rows_of = pd.Series(np.arange(len(test.user))).groupby(test.user).apply(np.array).tolist()
    draw = np.random.default_rng(11)
    gaps = []
    for _ in range(BOOTSTRAP_DRAWS):
        users = draw.integers(len(rows_of), size=len(rows_of))
        rows = np.concatenate([rows_of[user] for user in users])
        label = test.label[rows]
        if binary and not 0.0 < label.mean() < 1.0:
            continue
        if binary:
            gaps.append(fast_auc(label, ours[rows]) - fast_auc(label, theirs[rows]))
        else:
            gaps.append(rank_quality(label, ours[rows], False) - rank_quality(label, theirs[rows], False))
    return tuple(float(bound) for bound in np.percentile(gaps, [2.5, 97.5]))


def fast_auc(label: np.ndarray, score: np.ndarray) -> float:
    positive = label > 0.5
    n_positive = positive.sum()
    ranks = rankdata(score)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * (~positive).sum()))


def compare(binary_path: Path, job: Path, data: Path) -> Outcome:
    """One job, both learners."""
    learner = tomllib.loads(segue(binary_path, "train", job, "--explain"))["learner"]
    if learner["kind"] != "boosting":
        sys.exit(f"{job}: learner {learner['kind']!r} has no counterpart here")
    task = tomllib.loads(job.read_text())["task"]
    binary = task != "lifetime_value"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        table = scratch / "features.parquet"
        segue(binary_path, "features", job, "--data", data, "-o", table, "-q")
        parts = read_parts(table)
        trained, ours = ours_on_test(binary_path, job, data, table, scratch)
    test = parts["test"]
    fitted = fit_lightgbm(parts, learner, binary)
    theirs = fitted.predict(test.features)
    near = []
    for max_bins in NEAR_BINS:
        other = fit_lightgbm(parts, learner | {"max_bins": max_bins}, binary)
        near.append(rank_quality(test.label, other.predict(test.features), binary))
    reported = trained["metrics"]["auc" if binary else "spearman"]
    quality = rank_quality(test.label, ours, binary)
    if abs(quality - reported) > 1e-9:
        sys.exit(f"{job}: segue reports {reported}, its scores give {quality}")
    outcome = Outcome(
        model=trained["model"],
        task=task,
        rows=tuple(len(parts[part].label) for part in ("train", "calibrate", "test")),
        columns=test.features.shape[1],
        rounds=(trained["rounds"], fitted.best_iteration or fitted.current_iteration()),
        ours=quality,
        theirs=rank_quality(test.label, theirs, binary),
        near=(min(near), max(near)),
        interval=difference_interval(test, ours, theirs, binary),
        single=best_single(parts, binary),
    )
    if binary:
        outcome.calibration = calibration_error(test.label, ours)
        outcome.calibration_floor = calibration_floor(ours)
        outcome.log_loss = (log_loss(test.label, ours), log_loss(test.label, theirs))
    else:
        base = np.full_like(test.label, parts["train"].label.mean())
        outcome.rmse = tuple(float(np.sqrt(np.mean((test.label - guess) ** 2))) for guess in (ours, theirs, base))
    return outcome


def markdown(outcomes: list[Outcome]) -> str:
    """The section between the markers."""
    lines = [
        f"LightGBM {lightgbm.__version__}, same rows, same parameters, early stopping on the same rows; "
        "measured on the same test rows by the same code (`benches/peers/lightgbm_quality.py`). "
        "The interval (95 %) is that of the difference, drawing whole users. *Other bins* are the results of "
        f"LightGBM with {', '.join(map(str, NEAR_BINS))} bins: what chance alone changes. The *floor* is "
        "the calibration error, mean and 95th percentile, of a perfectly calibrated model on so many rows.",
        "",
    ]
    chance = [outcome for outcome in outcomes if outcome.calibration is not None]
    if chance:
        lines += [
            "| model | rows: train / calibrate / test | columns | AUC segue | AUC LightGBM | other bins | difference "
            "| interval | best single feature | log loss segue / LightGBM | calibration error | floor |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
    for row in chance:
        lines.append(
            f"| {row.model} | {' / '.join(f'{n:,}' for n in row.rows)} | {row.columns} | **{row.ours:.4f}** "
            f"| {row.theirs:.4f} | {row.near[0]:.4f} .. {row.near[1]:.4f} "
            f"| {row.ours - row.theirs:+.4f} | {row.interval[0]:+.4f} .. {row.interval[1]:+.4f} "
            f"| {row.single[1]:.4f} `{row.single[0]}` | {row.log_loss[0]:.4f} / {row.log_loss[1]:.4f} "
            f"| {row.calibration:.4f} | {row.calibration_floor[0]:.4f}, {row.calibration_floor[1]:.4f} |"
        )
    values = [outcome for outcome in outcomes if outcome.rmse is not None]
    if values:
        lines += [
            "",
            "| model | rows: train / calibrate / test | columns | Spearman segue | Spearman LightGBM | other bins "
            "| difference | interval | best single feature | RMSE segue / LightGBM / mean |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
    for row in values:
        lines.append(
            f"| {row.model} | {' / '.join(f'{n:,}' for n in row.rows)} | {row.columns} | **{row.ours:.4f}** "
            f"| {row.theirs:.4f} | {row.near[0]:.4f} .. {row.near[1]:.4f} "
            f"| {row.ours - row.theirs:+.4f} | {row.interval[0]:+.4f} .. {row.interval[1]:+.4f} "
            f"| {row.single[1]:.4f} `{row.single[0]}` | {' / '.join(f'{value:.2f}' for value in row.rmse)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="+", type=Path, help="job files with learner boosting")
    parser.add_argument("--segue", required=True, type=Path, help="the binary")
    parser.add_argument("--data", required=True, type=Path, help="folder that the jobs' paths start from")
    parser.add_argument("--out", type=Path, help="Markdown file to write the section into")
    options = parser.parse_args()
    outcomes = []
    for job in options.jobs:
        outcome = compare(options.segue, job, options.data)
        rounds = f"{outcome.rounds[0]} and {outcome.rounds[1]} rounds"
        print(f"{job}: {outcome.ours:.4f} and {outcome.theirs:.4f} in {rounds}", file=sys.stderr)
        outcomes.append(outcome)
    section = markdown(outcomes)
    print(section)
    if options.out:
        write_section(options.out, "lightgbm quality", "Quality beside LightGBM", section)


if __name__ == "__main__":
    main()
