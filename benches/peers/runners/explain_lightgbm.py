"""Shapley values by LightGBM (pred_contrib), one thread."""

import lightgbm

from meter import answer, task, us_per_row, write_scores
from tables import Table

work = task()
rows, warm = Table(work["rows"]).as_rows(), Table(work["warm"]).as_rows()
booster = lightgbm.Booster(model_file=work["model"] + ".txt")
booster.predict(warm, pred_contrib=True, num_threads=1)
row_us, values = us_per_row(lambda: booster.predict(rows, pred_contrib=True, num_threads=1), len(rows))
write_scores(work["scores"], values)
answer({"row_us": row_us})
