"""Fits Perpetual. It chooses its own step and tree sizes: only the number of trees can be made the same."""

import numpy as np
from perpetual import PerpetualBooster

from meter import Meter, answer, task, write_scores
from tables import Table

work = task()
train = Table(work["table"])
values, labels = train.as_columns(), train.labels
model = PerpetualBooster(
    objective="LogLoss",
    num_threads=work["threads"],
    iteration_limit=work["rounds"],
    categorical_features=train.categorical,
    seed=work["seed"],
    **work["flags"],
)

with Meter() as meter:
    model.fit(values, labels)

if work.get("test"):
    scores = np.asarray(model.predict_proba(Table(work["test"]).as_columns()))
    write_scores(work["scores"], scores[:, 1] if scores.ndim == 2 else scores)
answer(meter.figures)
