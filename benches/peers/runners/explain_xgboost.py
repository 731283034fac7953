"""Shapley values by XGBoost (pred_contribs), one thread: a model of its own of the same size."""

import numpy as np
import xgboost

from meter import answer, task, us_per_row, write_scores
from tables import Table

work = task()
rows, warm = (Table(work[key]).as_rows(np.float32) for key in ("rows", "warm"))
booster = xgboost.Booster({"nthread": 1}, model_file=work["model"] + ".ubj")
booster.predict(xgboost.DMatrix(warm, nthread=1), pred_contribs=True)
row_us, values = us_per_row(lambda: booster.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True), len(rows))
write_scores(work["scores"], values)
answer({"row_us": row_us})
