"""The servers that are compared, each a process of its own on loopback."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE_S = 60
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A process, where it listens, and what it costs."""

    def __init__(self, command, port, log, *, http=None, cwd=None, environment=None):
        self.port, self.http = port, http
        environment = os.environ | (environment or {})
        self.log = open(log, "w")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, cwd=cwd, env=environment, start_new_session=True
        )

    def family(self):
        """Its process and those that it started."""
        group = os.getpgid(self.process.pid)
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if _group(pid) == group]

    def cpu_s(self):
        return sum(_stat(pid)[0] for pid in self.family())

    def threads_cpu_s(self, name):
        """Of the threads of its process whose name begins so."""
        folder = Path(f"/proc/{self.process.pid}/task")
        threads = [path for path in folder.iterdir() if (path / "comm").read_text().startswith(name)]
        return sum(_stat(f"{self.process.pid}/task/{path.name}")[0] for path in threads)

    def rss_mb(self):
        return sum(_stat(pid)[1] for pid in self.family())

    def wait(self, url):
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args[0]} ended: see {self.log.name}")
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{url} did not answer within {PATIENCE_S} s: see {self.log.name}")

    def wait_for_port(self):
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.05)
        raise RuntimeError(f"port {self.port} is not open after {PATIENCE_S} s")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def _group(pid):
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _stat(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * 4096 / 1e6
    except (OSError, IndexError):
        return 0.0, 0.0


def segue(binary, folder, work, *more):
    grpc, http = free_port(), free_port()
    command = [binary, "serve", "--registry", f"{folder}/models"]
    command += ["--grpc", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}", *more]
    server = Server(command, grpc, work / "segue.log", http=http)
    return server.wait(f"http://127.0.0.1:{http}/readyz")


def echo(load, response_bytes, work):
    port = free_port()
    command = [load, "echo", "--listen", f"127.0.0.1:{port}", "--response-bytes", str(response_bytes)]
    return Server(command, port, work / "echo.log").wait_for_port()


def fastapi(python, folder, work, workers=2, frames=False):
    port = free_port()
    command = [python, "-m", "uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    environment = {"MODEL_FILE": f"{folder}/churn.lightgbm.txt", "OMP_NUM_THREADS": "1", "FRAMES": "yes" if frames else ""}
    server = Server(command, port, work / f"fastapi{frames:d}.log", cwd=HERE, environment=environment)
    return server.wait(f"http://127.0.0.1:{port}/ready")


def mlserver(python, folder, work):
    grpc, http, metrics = free_port(), free_port(), free_port()
    models = work / "mlserver"
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir()
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "debug": False}
    (models / "settings.json").write_text(json.dumps(settings))
    shutil.copy(f"{folder}/churn.lightgbm.txt", models / "model.bst")
    model = {"name": "churn", "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": "model.bst"}}
    (models / "model-settings.json").write_text(json.dumps(model))
    server = Server([f"{Path(python).parent}/mlserver", "start", "."], grpc, work / "mlserver.log", http=http, cwd=models)
    return server.wait(f"http://127.0.0.1:{http}/v2/models/churn/ready")
