"""Fits CatBoost. Categories reach it as integers of a data frame, the way that it reads fastest."""

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier, Pool

from meter import Meter, answer, task, write_scores
from tables import Table

work = task()


def frame_of(table):
    """Numbers as f32, categories as integers; column after column."""
    kinds = [np.int32 if n else np.float32 for n in table.n_categories]
    return pd.DataFrame({i: table.column(i).astype(kind) for i, kind in enumerate(kinds)})


train = Table(work["table"])
values, labels = frame_of(train), train.labels.astype(np.int32)
model = CatBoostClassifier(
    iterations=work["rounds"],
    learning_rate=work["learning_rate"],
    depth=int(np.ceil(np.log2(work["leaves"]))),
    random_seed=work["seed"],
    thread_count=work["threads"],
    allow_writing_files=False,
    verbose=False,
    **work["flags"],
)

with Meter() as meter:
    pool = Pool(values, labels, cat_features=train.categorical, thread_count=work["threads"])
    model.fit(pool)

if work.get("test"):
    test = Table(work["test"])
    write_scores(work["scores"], model.predict_proba(frame_of(test))[:, 1])
answer(meter.figures)
