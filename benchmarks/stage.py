"""The aliases that are compared: this engine, and Django's own verifying in the ways that people use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import certifi

from azpg_backend import trust
from azpg_backend.plan import defaults
from demo_project.localpg import Chain

HOST = "benchmark.postgres.database.azure.com"
STOCK = "django.db.backends.postgresql"
_END = "-----END CERTIFICATE-----\n"
PASSWORD = "benchmark0password"  # noqa: S105 (of a server that lives for a minute)


def with_local_root(chain: Chain, folder: Path) -> dict[str, str]:
    """Write every CA file anew, as long as it is, with the local server's root in the place of its first.

    The package's own then is this one. Return the paths by name: "bundle" of the package, "certifi", and "one", which
    has that root alone.
    """
    sources = {"bundle": trust.BUNDLE, "certifi": certifi.where()}
    texts = {name: Path(path).read_text("utf-8").partition(_END)[2] for name, path in sources.items()} | {"one": ""}
    paths = {name: str(folder / f"{name}.pem") for name in texts}
    for name, text in texts.items():
        Path(paths[name]).write_text(chain.root_pem + text, "utf-8")
    trust.BUNDLE = paths["bundle"]
    defaults.TLS = {**defaults.TLS, "sslrootcert": paths["bundle"]}
    return paths


def aliases(paths: Mapping[str, str], port: int) -> dict[str, dict[str, Any]]:
    """Return DATABASES: this engine as users write it, and Django's with one root, ours, certifi's, and unverified."""

    def alias(engine: str, **options: str) -> dict[str, Any]:
        server = {"NAME": "app", "USER": "app", "PASSWORD": PASSWORD, "HOST": HOST, "PORT": port}
        return {**server, "ENGINE": engine, "OPTIONS": {"hostaddr": "127.0.0.1", **options}}

    return {
        "default": alias("azpg_backend"),
        "ours": alias("azpg_backend"),
        "one_root": alias(STOCK, sslmode="verify-full", sslrootcert=paths["one"]),
        "same": alias(STOCK, sslmode="verify-full", sslrootcert=paths["bundle"]),
        "certifi": alias(STOCK, sslmode="verify-full", sslrootcert=paths["certifi"]),
        "require": alias(STOCK, sslmode="require"),
    }
