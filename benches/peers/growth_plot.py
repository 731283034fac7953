"""How time and memory grow with rows, columns and trees: slopes, and a picture."""

from statistics import median

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

AXES = {"rows": "rows", "features": "columns", "trees": "trees"}
STYLES = ["-o", "--s"]


def _curve(records, axis, peer, value):
    """Median by size, for the sizes that ran."""
    found = [r for r in records if r["axis"] == axis and r["peer"] == peer and "error" not in r]
    sizes = sorted({record["size"] for record in found})
    return {size: median(value(r) for r in found if r["size"] == size) for size in sizes}


def _slope(curve):
    """Of the straight line through logarithms, and between the two largest sizes; 1 is linear."""
    if len(curve) < 2:
        return float("nan"), float("nan")
    x, y = np.log(list(curve)), np.log(np.maximum(list(curve.values()), 1e-3))
    return np.polyfit(x, y, 1)[0], (y[-1] - y[-2]) / (x[-1] - x[-2])


def _seconds(record):
    return record["wall_s"]


def _megabytes(record):
    return record["peak_mb"] - record["before_mb"]


def growth_figures(records, peers, picture):
    """Lines of Markdown; draws the picture."""
    plt.rcParams |= {"svg.hashsalt": "segue", "svg.fonttype": "none", "font.size": 8}
    figure, panels = plt.subplots(2, 3, figsize=(9, 5), layout="constrained")
    lines = []
    for column, (axis, name) in enumerate(AXES.items()):
        sizes = sorted({record["size"] for record in records if record["axis"] == axis})
        rows = []
        for peer, style in zip(peers, STYLES, strict=True):
            curves = [_curve(records, axis, peer.key, value) for value in (_seconds, _megabytes)]
            if not curves[0]:
                continue
            slopes = [_slope(curve) for curve in curves]
            for panel, curve, (slope, _) in zip(panels[:, column], curves, slopes, strict=True):
                label = f"{peer.label.strip('*')}, slope {slope:.2f}"
                panel.loglog(list(curve), list(curve.values()), style, label=label, markersize=3)
            seconds, megabytes = curves
            cells = [f"{seconds[n]:.2f} s, {megabytes[n]:.0f} MB" if n in seconds else "did not run" for n in sizes]
            rows.append([peer.label, *cells, *(f"{whole:.2f}, {last:.2f}" for whole, last in slopes)])
        head = [f"by {name}", *(f"{n:,}" for n in sizes), "slope of time", "slope of memory"]
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
        panels[0, column].set_title(f"fit, s, by {name}")
        panels[1, column].set_title(f"memory above the data, MB, by {name}")
        for panel in panels[:, column]:
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            if panel.lines:
                panel.legend(frameon=False)
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)
    note = "Slopes are those of logarithms: over all sizes, then between the two largest; 1 is linear."
    return [*lines, f"{note} ![growth]({picture.name})", ""]
