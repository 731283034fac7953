"""What a runner shares with all others: the task, the clocks, the answer."""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def task():
    """The work to do, from the file named on the command line."""
    return json.loads(Path(sys.argv[1]).read_text())


def answer(figures):
    """Prints the figures as the last line of standard output."""
    print(json.dumps(figures), flush=True)


def write_scores(path, scores):
    """Plain little-endian f64."""
    np.ascontiguousarray(scores, "<f8").tofile(path)


def _status_mb(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {field}")


class Meter:
    """`with Meter() as meter: ...`, then `meter.figures`: seconds, and MB before and at the peak."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
        self._before_mb = _status_mb("VmRSS:")
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_):
        wall_s = time.perf_counter() - self._start
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.figures = {
            "wall_s": wall_s,
            "user_s": usage.ru_utime - self._usage.ru_utime,
            "system_s": usage.ru_stime - self._usage.ru_stime,
            "before_mb": self._before_mb,
            "peak_mb": _status_mb("VmHWM:"),
        }


def us_per_row(call, n_rows):
    """Microseconds a row of one call on all rows, and what it gave."""
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1e6 / n_rows, result
