"""Certificates for HTTPS servers on this machine, and the root that signs them."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from demo_project.localpg import Authority
from demo_project.localpg.certificates import key_pem, new_key, pem


def server_context(certificates: str, key: str) -> ssl.SSLContext:
    """Return a TLS server's context, from PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_text(certificates + key)
        context.load_cert_chain(path)
    return context


def certified(*names: str) -> tuple[ssl.SSLContext, str]:
    """Return a context for a site of these names, and the PEM of the root to trust."""
    # From Python 3.13 on, clients insist on an authority's key usage.
    root = Authority.root("Sites Root", usage=("key_cert_sign", "crl_sign"))
    key = new_key()
    return server_context(pem(root.issue(names[0], key, names=names)), key_pem(key)), root.pem
