"""Runs segue, polars and DuckDB on one log, interleaved; compares their values; prints a table.

Each run is a process of its own, from the files to a Parquet file. Wall time, user CPU and peak memory
are those of the process, as the system counts them when it ends.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import polars as pl

HERE = Path(__file__).parent


def measured(command: list[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    start = time.perf_counter()
    with open(folder / "said", "w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'said').read_text()}")
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def table(path: Path) -> pl.DataFrame:
    read = pl.read_parquet(path).drop("split", "label", strict=False)
    if read["t"].dtype != pl.Int64:
        read = read.with_columns(pl.col("t").dt.epoch("us"))
    renamed = {
        name: name.replace("any_count", "event_count").removeprefix("any_").removeprefix("name_")
        for name in read.columns
    }
    return read.rename(renamed).with_columns(pl.exclude("user", "t").cast(pl.Float64))


def differences(ours: pl.DataFrame, theirs: pl.DataFrame) -> int:
    """Values that differ; means may differ in the last digits, for they are not summed alike."""
    columns = [name for name in ours.columns if name not in ("user", "t")]
    both = ours.join(theirs, on=["user", "t"], how="full", suffix="_theirs", coalesce=True)
    known = both["user"].is_in(ours["user"].unique().implode())
    n_wrong = 0
    for name in columns:
        a, b = both[name], both[name + "_theirs"]
        near = ((a - b).abs() <= 1e-12 * (1 + b.abs())).fill_null(False)
        same = near | (a.is_null() & b.is_null())
        # A user in no event has no history to ask, so segue leaves the row out, and says how many.
        nothing = ~known & (b.is_null() | (b == 0))
        n_wrong += int((~(same | nothing)).sum())
    return n_wrong


def machine() -> str:
    name = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as info:
        models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    return f"{models[0] if models else name}, {len(os.sched_getaffinity(0))} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segue", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="made here and kept, instead of temporary")
    for name, default in [("events", 5_000_000), ("users", 50_000), ("points", 75_000)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        if not (folder / "spine.parquet").exists():
            sizes = [f"--{name}={getattr(args, name)}" for name in ("events", "users", "points")]
            subprocess.run([sys.executable, HERE / "generate.py", folder, *sizes], check=True)
        shutil.copy(HERE / "features.toml", folder / "features.toml")
        threads = str(args.threads)
        commands = {
            "segue": (
                [str(args.segue.resolve()), "features", "features.toml", "--out", "segue.parquet",
                 "--threads", threads],
                {},
            ),
            "polars streaming": (
                [sys.executable, str(HERE / "with_polars.py"), ".", "polars.parquet"],
                {"POLARS_MAX_THREADS": threads},
            ),
            "DuckDB": (
                [sys.executable, str(HERE / "with_duckdb.py"), ".", "duckdb.parquet", threads],
                {},
            ),
        }  # fmt: skip
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, (command, environment) in commands.items():
                runs[name].append(measured(command, folder, environment))
        ours = table(folder / "segue.parquet")
        print(f"\n{machine()}; {args.threads} threads; median of {args.rounds}, interleaved.")
        print(f"polars {pl.__version__}, DuckDB {duckdb.__version__}.\n")
        print("| tool | wall s | CPU s | peak MB | wall, times segue | values that differ |")
        print("|---|---|---|---|---|---|")

        def median(name: str, key: str) -> float:
            return statistics.median(run[key] for run in runs[name])

        for name, file in [
            ("segue", "segue"), ("polars streaming", "polars"), ("DuckDB", "duckdb"),
        ]:  # fmt: skip
            wall, cpu, peak = (median(name, key) for key in ("wall_s", "cpu_s", "peak_mb"))
            n_wrong = differences(ours, table(folder / f"{file}.parquet"))
            ratio = wall / median("segue", "wall_s")
            of = ours.height * (ours.width - 2)
            print(
                f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {ratio:.2f} "
                f"| {n_wrong:,} of {of:,} |"
            )


main()
