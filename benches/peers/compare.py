"""Runs sections of the comparison and writes them into the results file; `run.sh` starts it."""

import argparse
import json
import sys
from pathlib import Path

import machine
from report import REPORTS
from results import write_section
from rounds import Bench
from sections import SECTIONS, thin_rows

TITLES = {
    "fit": "Fitting beside other boosting libraries",
    "forest": "Fitting a forest",
    "score": "Scoring the same model",
    "explain": "Exact Shapley values of the same model",
    "growth": "Growth",
}
WHAT = {
    "fit": "100 trees, learning rate 0.1, at least 20 rows a leaf, at most 255 bins; building the library's data set "
    "from values in memory included. Each round draws new rows, so AUC and log loss are means over {rounds} seeds (in "
    "brackets: mean difference to LightGBM column-wise on the same rows).",
    "forest": "100 trees, at least 20 rows a leaf, square root of the columns a node; otherwise as above.",
    "score": "One model of LightGBM, 100 trees of 31 leaves with categories, walked by every engine. From f64 values "
    "in memory (f32 where the engine takes no other) to probabilities, each row new to the process; *one row* is one "
    "call a row from a compiled loop. *Differs by*: largest difference of a probability from LightGBM's.",
    "explain": "One model of LightGBM, 100 trees of 31 leaves, categories read as numbers, path-dependent values of "
    "{explained} fresh rows, one thread. *Differs by*: largest difference of a value from LightGBM's.",
    "growth": "31 leaves, two threads; 100 trees and {thin:,} rows of 28 columns but for what grows. Memory is what "
    "the fit adds to the table in memory. At most {growth_rounds} rounds.",
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="+", choices=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a fit (default 1,000,000)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="keys of peers, with commas")
    parser.add_argument(
        "--far",
        type=float,
        default=0.0,
        help="after a round, fit no more with those that took so many times as long as ours (default: all go on)",
    )
    parser.add_argument("--timeout", type=int, default=900, help="seconds that one measurement may take (default 900)")
    parser.add_argument("--machine", default="", help="what it is, for sections beside those of another machine")
    parser.add_argument("--stored", action="store_true", help="write the sections from the last run's figures")
    parser.add_argument("--ours", type=Path, required=True, help="binary segue-peer")
    parser.add_argument("--rust", type=Path, required=True, help="binary rust-peers")
    parser.add_argument("--lleaves", type=Path, required=True, help="Python that has lleaves")
    parser.add_argument("--work", type=Path, required=True, help="folder for tables and raw figures")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write the sections into")
    options = parser.parse_args()
    options.python, options.threads = sys.executable, 2
    return options


def measured(section, options):
    """Figures of a section, kept for `--stored`."""
    path = options.work / f"{section}.json"
    if options.stored:
        return json.loads(path.read_text())
    bench = Bench(options)
    hardware, versions = machine.hardware(), machine.versions(options.lleaves)
    records = SECTIONS[section](bench, options)
    kept = {
        "rounds": options.rounds,
        "rows": options.rows,
        "only": options.only,
        "far": options.far,
        "hardware": hardware,
        "versions": versions,
    }
    kept["records"] = records
    path.write_text(json.dumps(kept))
    return kept


def write(section, options):
    """Measures a section and writes it."""
    kept = measured(section, options)
    records, rounds = kept["records"], kept["rounds"]
    explained = max((record.get("rows", 0) for record in records), default=0)
    what = WHAT[section].format(
        rounds=rounds,
        growth_rounds=min(rounds, 3),
        thin=thin_rows(kept["rows"]),
        explained=f"{explained:,}",
    )
    only = f" --only {','.join(kept['only'])}" if kept["only"] else ""
    far = kept.get("far", 0.0) if section in ("fit", "forest") else 0.0
    if far:
        what += (
            f" Those that took more than {far:g} times as long as ours were not asked again; their rows say how often."
        )
    far = f" --far {far:g}" if far else ""
    named = f" --machine '{options.machine}'" if options.machine else ""
    lines = [
        f"`benches/peers/run.sh {section} --rounds {rounds} --rows {kept['rows']}{only}{far}{named}`. {what} Medians of "
        f"{rounds} (smallest-largest), every measurement a process of its own, libraries in turn.",
        "",
        *REPORTS[section](records, options),
        machine.line(kept["hardware"], kept["versions"]),
    ]
    if options.machine:
        name, title = f"{section} {options.machine}", f"{TITLES[section]}: {options.machine}"
        write_section(options.out, name, title, "\n".join(lines), behind=section)
    else:
        write_section(options.out, section, TITLES[section], "\n".join(lines))


def main():
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    failed = []
    for section in options.sections:
        try:
            write(section, options)
        except (OSError, RuntimeError, ValueError) as error:
            # the other sections shall have their turn
            print(f"{section}: {error}", file=sys.stderr)
            failed.append(section)
    sys.exit(f"not written: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
