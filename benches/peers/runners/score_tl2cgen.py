"""Scores by TL2cgen: trees as C, branches annotated by 10,000 rows, compiled by gcc -O3."""

import ctypes
import tempfile
import time
from pathlib import Path

import numpy as np
import tl2cgen
import treelite

from meter import answer, task, us_per_row, write_scores
from native import load
from tables import Table

work = task()
rows, singles, warm = (Table(work[key]).as_rows() for key in ("rows", "singles", "warm"))
native = load(work["native"])

with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    model = treelite.frontend.load_lightgbm_model(work["model"] + ".txt")
    annotation, library = str(Path(folder) / "branches.json"), str(Path(folder) / "model.so")
    data = tl2cgen.DMatrix(warm[:10_000])
    tl2cgen.annotate_branch(model, data, annotation, nthread=1)
    parameters = {"annotate_in": annotation, "parallel_comp": 8} | work["flags"]
    tl2cgen.export_lib(model, "gcc", library, parameters, nthread=2, options=["-O3", "-march=native"])
    load_s = time.perf_counter() - start

    function = ctypes.cast(ctypes.CDLL(library).predict, ctypes.c_void_p)
    single = np.empty(len(singles))
    native.tl2cgen_rows(function, warm, len(warm), rows.shape[1], np.empty(len(warm)))
    seconds = native.tl2cgen_rows(function, singles, len(singles), rows.shape[1], single)

    predictor = tl2cgen.Predictor(library, nthread=1)
    predictor.predict(tl2cgen.DMatrix(warm))
    batch_us, scores = us_per_row(lambda: predictor.predict(tl2cgen.DMatrix(rows)), len(rows))
    expected = predictor.predict(tl2cgen.DMatrix(singles)).reshape(-1)
scores = scores.reshape(-1)
write_scores(work["scores"], scores)
answer(
    {
        "single_us": seconds * 1e6 / len(singles),
        "batch_us": batch_us,
        "load_s": load_s,
        "single_differs": float(np.abs(single - expected).max()),
    }
)
