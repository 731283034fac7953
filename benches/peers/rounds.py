"""Starts one runner a measurement, in turn, and keeps what they say."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

import native
import tables

HERE = Path(__file__).parent


class Bench:
    """Where things are, and how long a runner may take."""

    def __init__(self, options):
        self.work = options.work
        self.timeout_s = options.timeout
        self.pythons = {"main": options.python, "lleaves": options.lleaves}
        self.binaries = {"ours": options.ours, "rust": options.rust}
        self.tables = self.work / "tables"
        self.loops = native.build(self.work)
        self.given_up = {}  # (case, peer) -> why

    def table(self, name, n_rows, seed):
        return str(tables.obtain(self.tables, name, n_rows, seed))

    def clear_tables(self):
        shutil.rmtree(self.tables, ignore_errors=True)

    def run(self, peer, work, threads):
        """Figures of one process on `threads` processors; `{"error": ...}` if it gives none."""
        path = self.work / "task.json"
        task = work | {"flags": peer.flags, "threads": threads, "native": str(self.loops)}
        path.write_text(json.dumps(task))
        if peer.runner in self.binaries:
            command = [str(self.binaries[peer.runner]), str(path)]
        else:
            script = HERE / "runners" / f"{peer.runner}.py"
            command = [str(self.pythons[peer.environment]), str(script), str(path)]
        environment = os.environ | {
            "PYTHONPATH": str(HERE),
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "RAYON_NUM_THREADS": str(threads),
            "RUST_BACKTRACE": "0",
        }
        processors = sorted(os.sched_getaffinity(0))[-threads:]
        try:
            done = subprocess.run(
                ["taskset", "-c", ",".join(map(str, processors)), *command],
                env=environment,
                capture_output=True,
                text=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"no result after {self.timeout_s} s"}
        except OSError as error:
            return {"error": str(error)}
        try:
            if done.returncode == 0:
                return json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, json.JSONDecodeError):
            pass
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        log = self.work / f"failed-{peer.key}.log"
        log.write_text(done.stdout + done.stderr)
        said = lines[-1].removeprefix("Error: ") if lines else "no message"
        return {"error": f"{said[:160]} (exit {done.returncode})"}

    def measure(self, case, round_, peer, work, threads, labels=None):
        """One measurement as a record; a peer that failed in this case is not asked again."""
        record = {"case": case, "round": round_, "peer": peer.key}
        known = self.given_up.get((case, peer.key))
        if known:
            return record | {"error": known}
        if "scores" in work:
            Path(work["scores"]).unlink(missing_ok=True)
        record |= self.run(peer, work, threads)
        if "error" in record:
            self.given_up[case, peer.key] = record["error"]
        elif labels is not None:
            record |= quality(work["scores"], labels)
        print(json.dumps(record), flush=True)
        return record


def in_turn(peers, round_):
    """Another one begins in each round."""
    start = round_ % len(peers)
    return peers[start:] + peers[:start]


def chosen(peers, only):
    return [peer for peer in peers if not only or peer.key in only]


def quality(scores_path, labels):
    """AUC and log loss; no log loss for bare classes."""
    scores = np.fromfile(scores_path, "<f8")
    if len(scores) != len(labels):
        raise ValueError(f"{len(scores)} scores for {len(labels)} rows")
    positive = labels > 0.5
    n = positive.sum()
    ranks = rankdata(scores)[positive].sum()
    figures = {"auc": float((ranks - n * (n + 1) / 2) / (n * (~positive).sum()))}
    if len(np.unique(scores)) > 2:
        chance = np.clip(np.where(positive, scores, 1.0 - scores), 1e-15, 1.0)
        figures["log_loss"] = float(-np.log(chance).mean())
    return figures
