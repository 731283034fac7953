"""Fits scikit-learn: histogram boosting or random forest."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from meter import Meter, answer, task, write_scores
from tables import Table

MOST_CATEGORIES = 255  # of a categorical column; one with more goes in as a number

work = task()
train = Table(work["table"])
if work["learner"] == "forest":
    values = train.as_rows(np.float32)
    model = RandomForestClassifier(
        work["rounds"],
        min_samples_leaf=work["min_rows"],
        n_jobs=work["threads"],
        random_state=work["seed"],
        **work["flags"],
    )
else:
    values = train.as_columns()
    model = HistGradientBoostingClassifier(
        max_iter=work["rounds"],
        learning_rate=work["learning_rate"],
        max_leaf_nodes=work["leaves"],
        min_samples_leaf=work["min_rows"],
        early_stopping=False,
        categorical_features=[c for c in train.categorical if train.n_categories[c] <= MOST_CATEGORIES],
        random_state=work["seed"],
        **work["flags"],
    )
labels = train.labels

with Meter() as meter:
    model.fit(values, labels)

if work.get("test"):
    test = Table(work["test"])
    write_scores(work["scores"], model.predict_proba(test.as_rows(values.dtype))[:, 1])
answer(meter.figures)
