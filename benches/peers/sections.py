"""The measurements of each section, as records: what ran in which round, and what it gave."""

import shutil

import numpy as np

from catalogue import BOOSTING, EXPLAIN, FIT_CASES, FOREST, FOREST_CASES, GROWTH, OURS, SCORE
from rounds import chosen, in_turn
from tables import Table

TREES = 100
LEARNING_RATE = 0.1
MIN_ROWS = 20
TEST_SEED = 1_000  # test rows have seeds of their own
SCORED_ROWS = 100_000
WARM_ROWS = 20_000
EXPLAINED_ROWS = 2_000


def fit_work(learner, leaves, seed, trees=TREES):
    return {
        "work": "fit",
        "learner": learner,
        "rounds": trees,
        "leaves": max(leaves, 2),
        "learning_rate": LEARNING_RATE,
        "min_rows": MIN_ROWS,
        "seed": seed,
    }


def fit(bench, options, cases=FIT_CASES, peers=BOOSTING):
    """Every round has rows of its own, so that medians and mean qualities are over as many seeds."""
    records = []
    for round_ in range(options.rounds):
        for case in cases:
            n_rows = max(int(options.rows * case.rows_share), 1_000)
            test = bench.table(case.table, max(n_rows // 5, 1_000), TEST_SEED + round_)
            labels = Table(test).labels
            scores = bench.work / "scores.f64"
            work = fit_work(case.learner, case.leaves, round_) | {"test": test, "scores": str(scores)}
            asked = [peer for peer in chosen(peers, options.only) if peer.key in (case.only or {peer.key})]
            asked = [peer for peer in asked if not _is_far(records, case.key, peer.key, options.far)]
            for peer in in_turn(asked, round_):
                n_own = max(int(n_rows * peer.rows_share), 1_000)
                task = work | {"table": bench.table(case.table, n_own, round_)}
                record = bench.measure(case.key, round_, peer, task, case.threads, labels)
                records.append(record | {"rows": n_own})
        bench.clear_tables()
    return records


def _is_far(records, case, peer, far):
    """Whether a peer took more than `far` times as long as ours in the rounds so far; never with 0."""
    of = {r["peer"]: r["wall_s"] for r in records if r["case"] == case and "wall_s" in r}
    return far > 0 and OURS in of and of.get(peer, 0.0) > far * of[OURS]


def forest(bench, options):
    return fit(bench, options, FOREST_CASES, FOREST)


def _reference_models(bench, options, table):
    """The LightGBM model that all engines walk, and XGBoost's own of the same size."""
    folder = bench.work / f"model-{table}"
    shutil.rmtree(folder, ignore_errors=True)  # with what engines have compiled from the last one
    folder.mkdir()
    prefix = str(folder / "model")
    train = bench.table(table, options.rows, 0)
    for key in ("lightgbm-col", "xgboost-loss"):
        peer = next(peer for peer in BOOSTING if peer.key == key)
        work = fit_work("boosting", 31, 0) | {"table": train, "model": prefix}
        figures = bench.run(peer, work, options.threads)
        # without XGBoost's own model its row will say so
        if "error" in figures and key == "lightgbm-col":
            raise RuntimeError(f"no model to score with: {peer.label}: {figures['error']}")
    return prefix


def _by_model(bench, options, kind, tables, peers, n_rows, differs):
    """Rounds of fresh rows through the same trees; `differs` compares values with LightGBM's."""
    records = []
    prefixes = {table: _reference_models(bench, options, table) for table in tables}
    bench.clear_tables()
    for round_ in range(options.rounds):
        for table, prefix in prefixes.items():
            work = {
                "work": kind,
                "model": prefix,
                "dump": f"{prefix}.json",
                "rows": bench.table(table, n_rows, TEST_SEED + round_),
                "singles": bench.table(table, n_rows, 3 * TEST_SEED + round_),
                "warm": bench.table(table, min(WARM_ROWS, n_rows), 2 * TEST_SEED + round_),
            }
            values = {}
            for peer in in_turn(chosen(peers, options.only), round_):
                path = bench.work / f"scores-{peer.key}.f64"
                record = bench.measure(table, round_, peer, work | {"scores": str(path)}, 1)
                records.append(record | {"rows": n_rows})
                if "error" not in record:
                    values[peer.key] = np.fromfile(path, "<f8")
            for record in records[-len(chosen(peers, options.only)) :]:
                if record["peer"] in values and "lightgbm" in values and record["peer"] != "xgboost":
                    record["differs"] = differs(values[record["peer"]], values["lightgbm"])
        bench.clear_tables()
    return records


def _furthest(ours, theirs):
    return float(np.abs(ours - theirs).max())


def score(bench, options):
    n_rows = min(SCORED_ROWS, options.rows)
    return _by_model(bench, options, "score", ["product", "session"], SCORE, n_rows, _furthest)


def explain(bench, options):
    """Categories go in as numbers here: shap's own code has no category splits of LightGBM."""
    n_rows = min(EXPLAINED_ROWS, options.rows)
    return _by_model(bench, options, "explain", ["numbers"], EXPLAIN, n_rows, _furthest)


def thin_rows(rows):
    """Rows where something else grows."""
    return max(rows // 10, 1_000)


def growth_points(rows):
    """Axis, size, table, rows, trees: each axis grows alone."""
    thin = thin_rows(rows)
    points = [("rows", int(thin * grow), "product", TREES) for grow in (1, 3, 10, 30, 100)]
    points = [(axis, n, table, n, trees) for axis, n, table, trees in points]
    points += [("features", n, f"wide-{n}", thin, TREES) for n in (10, 30, 100, 300, 1_000)]
    points += [("trees", n, "product", thin, n) for n in (100, 300, 1_000, 2_000, 5_000)]
    return points


def growth(bench, options):
    records = []
    peers = chosen(GROWTH, options.only)
    for round_ in range(min(options.rounds, 3)):
        for axis, size, table, n_rows, trees in growth_points(options.rows):
            for peer in in_turn(peers, round_):
                work = fit_work("boosting", 31, round_, trees)
                work["table"] = bench.table(table, n_rows, round_)
                record = bench.measure(f"{axis}-{size}", round_, peer, work, options.threads)
                records.append(record | {"axis": axis, "size": size, "rows": n_rows})
            bench.clear_tables()
    return records


SECTIONS = {"fit": fit, "forest": forest, "score": score, "explain": explain, "growth": growth}
