"""Where Django's own tests come from: its source package, of the very release that is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import django


def fetch(folder: Path) -> Path:
    """Download and unpack Django's source package, and return the folder of its tests."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*download, "-d", str(folder), f"Django=={django.__version__}"], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        # Python 3.10 and 3.11 have the safe way of unpacking only in their later patch releases.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)  # type: ignore[arg-type]
    return next(folder.glob("*/tests/runtests.py")).parent
