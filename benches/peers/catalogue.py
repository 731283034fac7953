"""Who takes part, with which flags, and in which cases."""

from dataclasses import dataclass, field

OURS = "segue"


@dataclass(frozen=True)
class Peer:
    """One way to run one library."""

    key: str
    label: str
    runner: str  # `ours`, `rust`, or a script of runners/ without its ending
    flags: dict = field(default_factory=dict)
    environment: str = "main"  # which Python
    rows_share: float = 1.0  # of the rows of a fit, for those that would take hours
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A table, what is fitted on it, and who is asked."""

    key: str
    title: str
    table: str
    rows_share: float  # of the rows asked for
    threads: int
    learner: str
    leaves: int
    aim: str  # what we want the fastest other's time over ours to be
    only: tuple = ()  # keys of peers; all if empty


SEGUE = Peer(OURS, "**segue**", "ours")

BOOSTING = [
    SEGUE,
    Peer("lightgbm-col", "LightGBM, column-wise", "fit_lightgbm", {"force_col_wise": True}),
    Peer("lightgbm-row", "LightGBM, row-wise", "fit_lightgbm", {"force_row_wise": True}),
    Peer(
        "lightgbm-col-quantised",
        "LightGBM, column-wise, quantised",
        "fit_lightgbm",
        {"force_col_wise": True, "use_quantized_grad": True},
    ),
    Peer(
        "lightgbm-row-quantised",
        "LightGBM, row-wise, quantised",
        "fit_lightgbm",
        {"force_row_wise": True, "use_quantized_grad": True},
    ),
    Peer("xgboost-loss", "XGBoost hist, loss-guided", "fit_xgboost"),
    Peer("xgboost-depth", "XGBoost hist, depth-wise", "fit_xgboost", {"depth_wise": True}),
    Peer(
        "xgboost-depth-numbers",
        "XGBoost hist, depth-wise, categories as numbers",
        "fit_xgboost",
        {"depth_wise": True, "as_numbers": True},
    ),
    Peer(
        "catboost",
        "CatBoost",
        "fit_catboost",
        {"one_hot_max_size": 255, "boosting_type": "Plain"},
        note="symmetric trees; categories up to 255 values one-hot, larger ones as target statistics",
    ),
    Peer(
        "sklearn",
        "scikit-learn HistGradientBoosting",
        "fit_sklearn",
        note="a category of more than 255 values goes in as a number",
    ),
    Peer("ydf", "ydf", "fit_ydf", note="best-first growth, numbers discretised"),
    Peer(
        "perpetual",
        "Perpetual",
        "fit_perpetual",
        note="chooses step and tree size itself; stopped at 100 trees",
    ),
    Peer("hessboost-loss", "hessboost, loss-guided", "rust", {"library": "hessboost"}),
    Peer("hessboost-depth", "hessboost, depth-wise", "rust", {"library": "hessboost", "depth_wise": True}),
    Peer(
        "hessboost-quantised",
        "hessboost, loss-guided, quantised",
        "rust",
        {"library": "hessboost", "quantized": True},
    ),
    Peer(
        "smartcore",
        "smartcore XGRegressor",
        "rust",
        {"library": "smartcore"},
        rows_share=0.01,
        note="one thread; squared loss on labels of 0 and 1, rows of every node sorted",
    ),
    Peer("linfa", "linfa AdaBoost", "rust", {"library": "linfa"}, rows_share=0.01, note="one thread; AdaBoost of classes"),
]

FOREST = [
    SEGUE,
    Peer("sklearn", "scikit-learn RandomForest", "fit_sklearn"),
    Peer("lightgbm-rf", "LightGBM rf, row-wise", "fit_lightgbm", {"force_row_wise": True}),
    Peer("xgboost-rf", "XGBoost, parallel trees", "fit_xgboost", note="depth at most 16"),
    Peer("ydf", "ydf", "fit_ydf", note="numbers discretised"),
    Peer("hessboost-rf", "hessboost, parallel trees", "rust", {"library": "hessboost"}, note="depth at most 16"),
    Peer(
        "smartcore",
        "smartcore",
        "rust",
        {"library": "smartcore"},
        rows_share=0.1,
        note="one thread; predicts classes, no probabilities",
    ),
    Peer(
        "linfa",
        "linfa",
        "rust",
        {"library": "linfa"},
        rows_share=0.1,
        note="one thread; columns drawn for each tree",
    ),
]

SCORE = [
    SEGUE,
    Peer("segue-avx2", "segue by AVX2", "ours", {"instructions": "avx2"}),
    Peer("lightgbm", "LightGBM", "score_lightgbm", note="one row: `SingleRowFast` from C"),
    Peer("lleaves", "lleaves", "score_lleaves", environment="lleaves", note="one row: compiled function from C"),
    Peer("tl2cgen", "TL2cgen, gcc -O3", "score_tl2cgen", note="one row: compiled function from C"),
    Peer(
        "tl2cgen-quantised",
        "TL2cgen, gcc -O3, quantised",
        "score_tl2cgen",
        {"quantize": 1},
        note="thresholds as integers; one row: compiled function from C",
    ),
    Peer("onnx", "ONNX Runtime", "score_onnx", note="one row through Python, its overhead included"),
    Peer("treelite", "Treelite GTIL", "score_treelite"),
    Peer("hessboost", "hessboost", "rust", {"library": "hessboost"}, note="from Rust"),
    Peer(
        "xgboost",
        "XGBoost",
        "score_xgboost",
        note="its own model of the same size; one row through Python, its overhead included",
    ),
]

EXPLAIN = [
    SEGUE,
    Peer("lightgbm", "LightGBM", "explain_lightgbm"),
    Peer("xgboost", "XGBoost", "explain_xgboost", note="its own model of the same size"),
    Peer("shap", "shap TreeExplainer", "explain_shap", note="its own C code"),
    Peer("hessboost", "hessboost", "rust", {"library": "hessboost"}),
]

GROWTH = [BOOSTING[0], BOOSTING[2]]

FIT_CASES = [
    Case("product-31", "product table, 31 leaves, two threads", "product", 1.0, 2, "boosting", 31, "at least 2"),
    Case("product-255", "product table, 255 leaves, two threads", "product", 1.0, 2, "boosting", 255, "at least 2.5"),
    Case("session-31", "session table, 31 leaves, two threads", "session", 1.0, 2, "boosting", 31, "at least 2.5"),
    Case(
        "product-31-one",
        "product table, 31 leaves, one thread",
        "product",
        1.0,
        1,
        "boosting",
        31,
        "at least 2",
        (OURS, "lightgbm-col", "lightgbm-row-quantised", "xgboost-loss", "hessboost-loss"),
    ),
]

FOREST_CASES = [
    Case(
        "forest",
        "forest on the product table, two threads",
        "product",
        0.2,
        2,
        "forest",
        0,
        "at most 4 s, a tenth of scikit-learn",
    )
]
