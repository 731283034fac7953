"""Scores by XGBoost's inplace_predict: a model of its own of the same size, since it reads no LightGBM."""

import numpy as np
import xgboost

from meter import answer, task, us_per_row, write_scores
from tables import Table

work = task()
rows, singles, warm = (Table(work[key]).as_rows(np.float32) for key in ("rows", "singles", "warm"))
booster = xgboost.Booster({"nthread": 1}, model_file=work["model"] + ".ubj")
booster.inplace_predict(warm)
batch_us, scores = us_per_row(lambda: booster.inplace_predict(rows), len(rows))
few = singles[:20_000]
python_us, _ = us_per_row(lambda: [booster.inplace_predict(few[i : i + 1]) for i in range(len(few))], len(few))
write_scores(work["scores"], scores)
answer({"batch_us": batch_us, "python_us": python_us})
