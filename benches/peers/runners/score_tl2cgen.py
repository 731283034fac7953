"""Scores by TL2cgen: trees as C, branches annotated by 10,000 rows, compiled by gcc -O3."""

import ctypes
import time
from pathlib import Path

import numpy as np
import tl2cgen
import treelite

from meter import answer, task, us_per_row, write_scores
from native import load as load_loops
from tables import Table

work = task()
rows, singles, warm = (Table(work[key]).as_rows() for key in ("rows", "singles", "warm"))
native = load_loops(work["native"])


def compiled():
    """The library, and the seconds of compiling if no earlier round has done it."""
    flags = work["flags"]
    library = Path(work["model"] + ("".join(sorted(flags)) or "plain") + ".so")
    if library.exists():
        return library, {}
    start = time.perf_counter()
    model = treelite.frontend.load_lightgbm_model(work["model"] + ".txt")
    annotation = str(library.with_suffix(".branches.json"))
    tl2cgen.annotate_branch(model, tl2cgen.DMatrix(warm[:10_000]), annotation, nthread=1)
    parameters = {"annotate_in": annotation, "parallel_comp": 8} | flags
    tl2cgen.export_lib(model, "gcc", library, parameters, nthread=2, options=["-O3", "-march=native"])
    return library, {"load_s": time.perf_counter() - start}


library, load = compiled()
function = ctypes.cast(ctypes.CDLL(str(library)).predict, ctypes.c_void_p)
single = np.empty(len(singles))
native.tl2cgen_rows(function, warm, len(warm), rows.shape[1], np.empty(len(warm)))
seconds = native.tl2cgen_rows(function, singles, len(singles), rows.shape[1], single)

predictor = tl2cgen.Predictor(library, nthread=1)
predictor.predict(tl2cgen.DMatrix(warm))
batch_us, scores = us_per_row(lambda: predictor.predict(tl2cgen.DMatrix(rows)), len(rows))
expected = predictor.predict(tl2cgen.DMatrix(singles)).reshape(-1)
write_scores(work["scores"], scores.reshape(-1))
answer(
    {
        "single_us": seconds * 1e6 / len(singles),
        "batch_us": batch_us,
        "single_differs": float(np.abs(single - expected).max()),
    }
    | load
)
