"""What the figures were measured on and with."""

import importlib.metadata
import os
import platform
import subprocess
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = {
    "main": [
        "lightgbm",
        "xgboost",
        "catboost",
        "scikit-learn",
        "ydf",
        "perpetual",
        "treelite",
        "tl2cgen",
        "onnxruntime",
        "onnxmltools",
        "shap",
        "numpy",
    ],
    "lleaves": ["lleaves", "llvmlite"],
}
CRATES = ["hessboost", "smartcore", "linfa", "linfa-ensemble"]


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return (done.stdout.splitlines() or [""])[0]


def _changes():
    """Whether the sources of what is measured are those of the commit."""
    changed = _first_line("git", "status", "--porcelain", "--", ":/crates", ":/benches/src", ":/Cargo.lock")
    return " with changes" if changed else ""


def _field(path, name):
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return "unknown"


def hardware():
    """Processor, cores, memory, kernel, compilers, load."""
    flags = _field("/proc/cpuinfo", "flags").split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vbmi", "avx512vbmi") if flag in flags]
    memory = int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9
    return {
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, family {_field('/proc/cpuinfo', 'cpu family')}, "
        f"{os.cpu_count()} processors, {' '.join(wide)}",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "compilers": f"{_first_line('rustc', '--version')}; {_first_line('gcc', '--version')}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "commit": _first_line("git", "rev-parse", "--short=10", "HEAD") + _changes(),
    }


def _version(package, python):
    if python is None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _first_line(str(python), "-c", code) or "not installed"


def versions(lleaves_python):
    """Version of each package and crate."""
    found = {package: _version(package, None) for package in PACKAGES["main"]}
    found |= {package: _version(package, lleaves_python) for package in PACKAGES["lleaves"]}
    lock = tomllib.loads((HERE / "rust" / "Cargo.lock").read_text())
    return found | {
        f"{package['name']} (Rust)": package["version"] for package in lock["package"] if package["name"] in CRATES
    }


def line(hardware, versions):
    """One paragraph."""
    parts = "; ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{hardware['processor']}; {hardware['memory']}; {hardware['system']}; {hardware['compilers']}; segue at "
        f"{hardware['commit']}. Load average at the start: {hardware['load']}. {parts}."
    )
