"""Fits XGBoost: boosting (depth-wise or loss-guided) or random forest, always by histograms."""

import numpy as np
import xgboost

from meter import Meter, answer, task, write_scores
from tables import Table

work = task()
train = Table(work["table"])
values, labels = train.as_rows(np.float32), train.labels.astype(np.float32)
flags = dict(work["flags"])
depth_wise = flags.pop("depth_wise", False)
as_numbers = flags.pop("as_numbers", False)
types = ["c" if n and not as_numbers else "q" for n in train.n_categories]
parameters = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "eta": work["learning_rate"],
    "nthread": work["threads"],
    "seed": work["seed"],
}
rounds = work["rounds"]
if work["learner"] == "forest":
    parameters |= {
        "eta": 1.0,
        "num_parallel_tree": rounds,
        "subsample": 0.632,
        "colsample_bynode": np.sqrt(train.n_columns) / train.n_columns,
        "max_depth": 16,
        "min_child_weight": work["min_rows"] / 4.0,  # a row weighs p (1 - p), at most a quarter
        "lambda": 0.0,
    }
    rounds = 1
elif depth_wise:
    # the depth whose full tree has as many leaves, or one more
    parameters |= {"grow_policy": "depthwise", "max_depth": int(np.ceil(np.log2(work["leaves"])))}
else:
    parameters |= {"grow_policy": "lossguide", "max_depth": 0, "max_leaves": work["leaves"]}
parameters |= flags


def data_of(matrix, labels=None):
    return xgboost.DMatrix(matrix, labels, feature_types=types, enable_categorical=True, nthread=work["threads"])


with Meter() as meter:
    data = xgboost.QuantileDMatrix(
        values, labels, feature_types=types, enable_categorical=True, nthread=work["threads"]
    )
    booster = xgboost.train(parameters, data, rounds)

if work.get("test"):
    test = Table(work["test"])
    write_scores(work["scores"], booster.predict(data_of(test.as_rows(np.float32))))
if work.get("model"):
    booster.save_model(work["model"] + ".ubj")
answer(meter.figures)
