"""How time and memory grow with rows, columns and trees: slopes, and a picture."""

from statistics import median

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

AXES = {"rows": "rows", "features": "columns", "trees": "trees"}
STYLES = ["-o", "--s"]


def _curve(records, axis, peer, value):
    """Sizes and medians, for the sizes that ran."""
    found = [r for r in records if r["axis"] == axis and r["peer"] == peer and "error" not in r]
    sizes = sorted({record["size"] for record in found})
    return sizes, [median(value(r) for r in found if r["size"] == size) for size in sizes]


def _slope(sizes, values):
    """Of the straight line through logarithms, and between the two largest sizes; 1 is linear."""
    if len(sizes) < 2:
        return float("nan"), float("nan")
    x, y = np.log(sizes), np.log(np.maximum(values, 1e-3))
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
        rows = []
        for peer, style in zip(peers, STYLES, strict=True):
            (sizes, seconds), (_, megabytes) = (
                _curve(records, axis, peer.key, value) for value in (_seconds, _megabytes)
            )
            if not sizes:
                continue
            label = peer.label.strip("*")
            slopes = [_slope(sizes, values) for values in (seconds, megabytes)]
            for panel, values, (slope, _) in zip(panels[:, column], (seconds, megabytes), slopes, strict=True):
                panel.loglog(sizes, values, style, label=f"{label}, slope {slope:.2f}", markersize=3)
            cells = [f"{s:.2f} s, {m:.0f} MB" for s, m in zip(seconds, megabytes, strict=True)]
            cells += [f"{whole:.2f}, {last:.2f}" for whole, last in slopes]
            rows.append([peer.label, *cells])
        if rows:
            head = [f"by {name}", *(f"{size:,}" for size in sizes), "slope of time", "slope of memory"]
            lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
            lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
        panels[0, column].set_title(f"fit, s, by {name}")
        panels[1, column].set_title(f"memory above the data, MB, by {name}")
        for panel in panels[:, column]:
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.legend(frameon=False)
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)
    lines.append(
        "Slopes are those of logarithms: over all sizes, then between the two largest; 1 is linear. "
        f"![growth]({picture.name})"
    )
    return lines
