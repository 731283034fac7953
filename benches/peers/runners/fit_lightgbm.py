"""Fits LightGBM: boosting or random forest."""

import json
from pathlib import Path

import lightgbm
import numpy as np

from meter import Meter, answer, task, write_scores
from tables import Table

work = task()
train = Table(work["table"])
values, labels = train.as_columns(), train.labels
parameters = {
    "objective": "binary",
    "num_leaves": work["leaves"],
    "learning_rate": work["learning_rate"],
    "min_data_in_leaf": work["min_rows"],
    "num_threads": work["threads"],
    "seed": work["seed"],
    "verbosity": -1,
}
if work["learner"] == "forest":
    parameters |= {
        "boosting": "rf",
        "num_leaves": 4095,
        "bagging_freq": 1,
        "bagging_fraction": 0.632,
        "feature_fraction_bynode": np.sqrt(train.n_columns) / train.n_columns,
    }
parameters |= work["flags"]

with Meter() as meter:
    data = lightgbm.Dataset(values, labels, categorical_feature=train.categorical)
    booster = lightgbm.train(parameters, data, work["rounds"])

if work.get("test"):
    test = Table(work["test"])
    write_scores(work["scores"], booster.predict(test.as_rows(), num_threads=work["threads"]))
if work.get("model"):
    booster.save_model(work["model"] + ".txt")
    Path(work["model"] + ".json").write_text(json.dumps(booster.dump_model()))
answer(meter.figures)
