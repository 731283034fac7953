"""Records to Markdown: medians with their range, ratios to ours, losses included."""

from statistics import mean, median

from catalogue import BOOSTING, EXPLAIN, FIT_CASES, FOREST, FOREST_CASES, GROWTH, OURS, SCORE
from growth_plot import growth_figures

BASE = "lightgbm-col"  # quality is compared with this one
LIKE_AUC = 0.005  # below ours by no more than this is like quality


def _values(records, key):
    return [record[key] for record in records if key in record]


def _of(records, case, peer):
    return [r for r in records if r["case"] == case and r["peer"] == peer and "error" not in r]


def _spread(values, digits):
    """Median (smallest-largest)."""
    if not values:
        return "-"
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _ratio(values, ours):
    """How many times as long as ours."""
    if not values or not ours:
        return "-"
    ratio = median(values) / median(ours)
    return f"{ratio:.2f}" + (" **ahead of ours**" if ratio < 1.0 else "")


def _error(records, case, peer):
    said = [r["error"] for r in records if r["case"] == case and r["peer"] == peer and "error" in r]
    return f"did not run: {said[0]}" if said else None


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _label(peer, notes):
    """Label with the number of its note."""
    if not peer.note:
        return peer.label
    if peer.note not in notes:
        notes.append(peer.note)
    return f"{peer.label} [{notes.index(peer.note) + 1}]"


def _notes(notes):
    return ["; ".join(f"[{number}] {note}" for number, note in enumerate(notes, 1)) + ".", ""] if notes else []


def _present(records, case, peers):
    asked = {record["peer"] for record in records if record["case"] == case}
    return [peer for peer in peers if peer.key in asked]


def _paired(records, case, peer, base, key):
    """Mean over rounds of the difference to another peer on the same rows."""
    theirs = {r["round"]: r[key] for r in _of(records, case, base) if key in r}
    gaps = [r[key] - theirs[r["round"]] for r in _of(records, case, peer) if key in r and r["round"] in theirs]
    return f" ({mean(gaps):+.4f})" if gaps and peer != base else ""


def _verdict(records, case, peers, key, aim, unit):
    """Ours against the fastest of the others, and of those of like quality if that is another one."""
    ours = _of(records, case, OURS)
    runs = {
        peer.label: of_peer
        for peer in peers
        if peer.runner != "ours" and peer.rows_share == 1.0 and (of_peer := _of(records, case, peer.key))
    }
    times = {label: median(values) for label, of_peer in runs.items() if (values := _values(of_peer, key))}
    if not ours or not times:
        return []

    def against(label):
        ratio = times[label] / median(_values(ours, key))
        return f"{label}, {times[label]:.3g} {unit}, {ratio:.2f} times ours"

    best = min(times, key=times.get)
    line = f"Fastest other: {against(best)} (aim: {aim})."
    if auc := _values(ours, "auc"):
        like = [label for label in times if mean(_values(runs[label], "auc")) >= mean(auc) - LIKE_AUC]
        if like and best not in like:
            line += f" Of those whose AUC is at most {LIKE_AUC} below ours: {against(min(like, key=times.get))}."
    return [line, ""]


def fit_report(records, options, cases=FIT_CASES, peers=BOOSTING):
    lines, notes = [], []
    for case in cases:
        present = _present(records, case.key, peers)
        if not present:
            continue
        ours = _of(records, case.key, OURS)
        rows = []
        for peer in present:
            fits = _of(records, case.key, peer.key)
            if not fits:
                rows.append([_label(peer, notes), _error(records, case.key, peer.key)] + [""] * 5)
                continue
            full = peer.rows_share == 1.0
            label = _label(peer, notes) + ("" if full else f", **{fits[0]['rows']:,} rows**")
            if len(fits) < len(ours):
                label += f", {len(fits)} of {len(ours)} rounds"
            growth = [f["peak_mb"] - f["before_mb"] for f in fits]
            quality = [
                f"{mean(values):.4f}" + (_paired(records, case.key, peer.key, BASE, key) if full else "")
                if (values := _values(fits, key))
                else "-"
                for key in ("auc", "log_loss")
            ]
            rows.append(
                [
                    label,
                    _spread(_values(fits, "wall_s"), 2),
                    _ratio(_values(fits, "wall_s"), _values(ours, "wall_s")) if full else "-",
                    _spread(_values(fits, "user_s"), 2),
                    f"{median(growth):.0f} on {median(_values(fits, 'before_mb')):.0f}",
                    *quality,
                ]
            )
        n_rows = max(record["rows"] for record in records if record["case"] == case.key)
        head = ["learner", "fit, s", "x ours", "user CPU, s", "memory grows by, MB", "AUC", "log loss"]
        lines += [f"### {case.title}, {n_rows:,} rows", "", *_table(head, rows)]
        lines += _verdict(records, case.key, present, "wall_s", case.aim, "s")
    lines += _scaling(records)
    return lines + _notes(notes)


def _scaling(records):
    lines = []
    for peer in BOOSTING:
        one = _values(_of(records, "product-31-one", peer.key), "wall_s")
        two = _values(_of(records, "product-31", peer.key), "wall_s")
        if one and two:
            lines.append(f"{peer.label} {median(one) / median(two):.2f}")
    return ["From one thread to two: " + ", ".join(lines) + ".", ""] if lines else []


def forest_report(records, options):
    return fit_report(records, options, FOREST_CASES, FOREST)


def score_report(records, options):
    lines, notes = [], []
    for case in ("product", "session"):
        present = _present(records, case, SCORE)
        if not present:
            continue
        ours, rows = _of(records, case, OURS), []
        for peer in present:
            runs = _of(records, case, peer.key)
            if not runs:
                rows.append([_label(peer, notes), _error(records, case, peer.key)] + [""] * 5)
                continue
            single = _values(runs, "single_us") or _values(runs, "python_us")
            differs = _values(runs, "differs")
            load = _values(runs, "load_s")
            rows.append(
                [
                    _label(peer, notes),
                    _spread(single, 2),
                    _ratio(single, _values(ours, "single_us")),
                    _spread(_values(runs, "batch_us"), 3),
                    _ratio(_values(runs, "batch_us"), _values(ours, "batch_us")),
                    f"{median(load):.2f}" if load else "-",
                    f"{max(differs):.1e}" if differs else "-",
                ]
            )
        head = ["engine", "one row, us", "x ours", "batch, us a row", "x ours", "load or compile, s", "differs by"]
        n_rows = max(record["rows"] for record in records)
        lines += [f"### {case} table, {n_rows:,} fresh rows, one thread", "", *_table(head, rows)]
        lines += _verdict(records, case, present, "single_us", "at most 0.3 us", "us for one row")
        lines += _verdict(records, case, present, "batch_us", "at most 0.15 us", "us a row in a batch")
    return lines + _notes(notes)


def explain_report(records, options):
    lines, notes, rows = [], [], []
    present = _present(records, "numbers", EXPLAIN)
    ours = _values(_of(records, "numbers", OURS), "row_us")
    for peer in present:
        runs = _of(records, "numbers", peer.key)
        if not runs:
            rows.append([_label(peer, notes), _error(records, "numbers", peer.key)] + [""] * 2)
            continue
        values, differs = _values(runs, "row_us"), _values(runs, "differs")
        rows.append(
            [
                _label(peer, notes),
                _spread(values, 1),
                _ratio(values, ours),
                f"{max(differs):.1e}" if differs else "-",
            ]
        )
    lines += _table(["explainer", "us a row", "x ours", "differs by"], rows)
    lines += _verdict(records, "numbers", present, "row_us", "at least 3", "us a row")
    return lines + _notes(notes)


def growth_report(records, options):
    return growth_figures(records, GROWTH, options.out.parent / "growth.svg")


REPORTS = {
    "fit": fit_report,
    "forest": forest_report,
    "score": score_report,
    "explain": explain_report,
    "growth": growth_report,
}
