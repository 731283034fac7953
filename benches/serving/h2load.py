"""One run of h2load: requests a second and latencies, of every request and not of a sample."""

import re
import subprocess
import tempfile
from pathlib import Path


class Failed(Exception):
    """Not every request was answered with HTTP 200."""


def run(url, body, *, requests, connections, streams, content_type="application/grpc", http1=False):
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = ["h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams), "-t", "1"]
        command += ["-d", str(body), "-H", f"content-type: {content_type}", "-H", "te: trailers"]
        command += ["--log-file", str(log), *(["--h1"] if http1 else []), url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = log.read_text().splitlines()
    status = re.search(r"(\d+) succeeded, (\d+) failed", done.stdout)
    if not status or int(status[1]) != requests:
        raise Failed(f"{url}: {done.stdout}")
    latencies = sorted(int(line.split("\t")[2]) for line in lines)
    data = re.search(r"\((\d+)\) data", done.stdout)
    return {
        "per_second": float(re.search(r"([\d.]+) req/s", done.stdout)[1]),
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
        # Behind a flag and four bytes of length.
        "response_bytes": int(data[1]) // requests - 5,
    }
