"""The loops of native/single_rows.c, as functions of numpy arrays."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parent / "native" / "single_rows.c"


def build(folder):
    """Compiles the loops; path of the library."""
    library = Path(folder) / "single_rows.so"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        library.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run(["gcc", *flags, "-o", library, SOURCE], check=True)
    return library


def _rows(kind):
    return np.ctypeslib.ndpointer(kind, flags="C_CONTIGUOUS")


def load(library):
    """The library with its signatures."""
    loops = ctypes.CDLL(str(library))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    signatures = {
        "lightgbm_rows": [pointer, pointer, _rows("f8"), size, size, _rows("f8")],
        "lleaves_rows": [pointer, _rows("f8"), size, size, _rows("f8")],
        "tl2cgen_rows": [pointer, _rows("f8"), size, size, _rows("f8")],
    }
    for name, signature in signatures.items():
        function = getattr(loops, name)
        function.argtypes, function.restype = signature, ctypes.c_double
    return loops
