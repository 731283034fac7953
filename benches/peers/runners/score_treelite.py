"""Scores by Treelite's interpreter (GTIL)."""

import treelite

from meter import answer, task, us_per_row, write_scores
from tables import Table

work = task()
rows, warm = Table(work["rows"]).as_rows(), Table(work["warm"]).as_rows()
model = treelite.frontend.load_lightgbm_model(work["model"] + ".txt")
treelite.gtil.predict(model, warm, nthread=1)
batch_us, scores = us_per_row(lambda: treelite.gtil.predict(model, rows, nthread=1), len(rows))
write_scores(work["scores"], scores)
answer({"batch_us": batch_us})
