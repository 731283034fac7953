"""Fits ydf: boosting or random forest, numbers discretised before (its fast mode)."""

import numpy as np
import ydf

from meter import Meter, answer, task, write_scores
from tables import Table

work = task()
ydf.verbose(0)


def columns_of(table):
    kinds = [np.int64 if n else np.float32 for n in table.n_categories]
    return {f"c{i}": table.column(i).astype(kind) for i, kind in enumerate(kinds)}


train = Table(work["table"])
values = columns_of(train) | {"label": train.labels.astype(np.int64)}
common = {
    "label": "label",
    "features": [(f"c{c}", ydf.Semantic.CATEGORICAL) for c in train.categorical],
    "include_all_columns": True,
    "discretize_numerical_columns": True,
    "num_trees": work["rounds"],
    "min_examples": work["min_rows"],
    "num_threads": work["threads"],
    "random_seed": work["seed"],
} | work["flags"]
if work["learner"] == "forest":
    learner = ydf.RandomForestLearner(compute_oob_performances=False, winner_take_all=False, max_depth=-1, **common)
else:
    learner = ydf.GradientBoostedTreesLearner(
        shrinkage=work["learning_rate"],
        growing_strategy="BEST_FIRST_GLOBAL",
        max_num_nodes=work["leaves"],
        max_depth=-1,
        validation_ratio=0.0,
        early_stopping="NONE",
        **common,
    )

with Meter() as meter:
    model = learner.train(values)

if work.get("test"):
    write_scores(work["scores"], model.predict(columns_of(Table(work["test"]))))
answer(meter.figures)
