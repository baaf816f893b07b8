"""What is tested: the Django that is installed, with its own tests, on the driver that is installed."""

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


def driver() -> str:
    """Return the driver that Django takes, with its version: psycopg 3 if it is there."""
    try:
        import psycopg
    except ImportError:
        import psycopg2

        return f"psycopg2 {psycopg2.__version__.split()[0]}"
    return f"psycopg {psycopg.__version__}"
