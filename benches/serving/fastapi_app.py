"""What a team writes in an afternoon: a LightGBM model behind FastAPI, one row as JSON, one number back.

With FRAMES set the row becomes a data frame, as tutorials have it; otherwise an array, which is quicker.
"""

import os

import lightgbm
import numpy as np
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

booster = lightgbm.Booster(model_file=os.environ["MODEL_FILE"])
columns = booster.feature_name()
codes = {f"value-{code}": float(code) for code in range(64)}
kinds = {name: "category" if name.startswith("category_") else float for name in columns}
# What a model keeps that was fitted on a frame.
booster.pandas_categorical = [list(codes)] * list(kinds.values()).count("category")
frames = bool(os.environ.get("FRAMES"))
app = FastAPI()


class Row(BaseModel):
    features: dict[str, float | str | None]


def value(cell):
    if cell is None:
        return np.nan
    return codes.get(cell, -1.0) if isinstance(cell, str) else cell


@app.get("/ready")
def ready():
    return {"trees": booster.num_trees()}


@app.post("/score")
async def score(row: Row):
    if frames:
        cells = pd.DataFrame([row.features], columns=columns).astype(kinds)
    else:
        cells = np.array([[value(row.features[name]) for name in columns]])
    return {"score": float(booster.predict(cells, num_threads=1)[0])}
