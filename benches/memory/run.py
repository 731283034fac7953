"""Peak memory of `segue score` on logs of growing size: in memory, and within a budget.

    cargo build --release
    python3 benches/memory/run.py

Simulates logs, trains one model on the smallest, scores every log both ways in processes of their
own, checks that the scores are the same bytes, and writes RESULTS.md beside this file. Nothing but
Python is needed; the logs take about 300 bytes an event in a temporary folder.
"""

import argparse
import hashlib
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def run(*command):
    """Peak memory (MiB) of a command, which must succeed."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{said.decode()}")
    # kilobytes, but for the one system that counts bytes
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return usage.ru_maxrss / unit


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segue", default=ROOT / "target/release/segue", type=pathlib.Path)
    parser.add_argument("--users", default="10000,30000,100000,300000")
    parser.add_argument("--memory", default="64MiB")
    parser.add_argument("--temp", help="folder for the logs; not one that lies in memory")
    options = parser.parse_args()
    job = ROOT / "jobs/simulated/churn.toml"
    rows = []
    with tempfile.TemporaryDirectory(dir=options.temp) as folder:
        folder = pathlib.Path(folder)
        models = folder / "models"
        for n_users in [int(text) for text in options.users.split(",")]:
            data = folder / "data"
            run(options.segue, "simulate", "--users", n_users, "--out", data)
            if not rows:
                run(options.segue, "train", job, "--data", data, "--registry", models)
            score = [options.segue, "score", "churn@1", "--job", job, "--data", data, "--registry", models]
            whole, parts = folder / "whole.parquet", folder / "parts.parquet"
            in_memory = run(*score, "--out", whole, "--memory", "1000GiB")
            within = run(*score, "--out", parts, "--memory", options.memory)
            if digest(whole) != digest(parts):
                sys.exit(f"the scores of {n_users} users differ")
            log = data / "events.jsonl"
            with log.open("rb") as lines:
                n_events = sum(1 for _ in lines)
            rows.append((n_users, n_events, log.stat().st_size / (1 << 20), in_memory, within))
            print(rows[-1], flush=True)
            log.unlink()
    lines = [
        "# Memory of `segue score` on events",
        "",
        f"`python3 benches/memory/run.py --users {options.users} --memory {options.memory}`, "
        f"{os.cpu_count()} threads. Peak resident memory of the process, libraries, model and program "
        "included; the scores of both ways are the same bytes. What still grows with the users within the "
        "budget is what links devices to them.",
        "",
        f"| users | events | log, MiB | in memory, MiB | `--memory {options.memory}`, MiB |",
        "|---|---|---|---|---|",
    ]
    for n_users, n_events, size, in_memory, within in rows:
        lines.append(
            f"| {n_users:,} | {n_events:,} | {size:,.0f} | {in_memory:,.0f} | {within:,.0f} |"
        )
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
