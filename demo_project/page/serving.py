"""Serving the demo's page: the port is taken before anything else starts, and given back however that ends."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import os
from typing import NamedTuple

from django.conf import settings
from django.core.management.base import CommandError
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


class Address(NamedTuple):
    """Where to listen. host: without brackets. port: 0 takes any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def everywhere(self) -> bool:
        return self.host in {"0.0.0.0", "::"}  # noqa: S104 (compared, not listened on)


DEFAULT = Address("127.0.0.1", 8000)


def address(text: str) -> Address:
    """Read HOST:PORT, as argparse's type."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as {DEFAULT} or [::1]:8000")
    return Address(host, int(port))


def listen(wanted: Address) -> ThreadedWSGIServer:
    """Take an address for the page. Raises CommandError."""
    try:
        return ThreadedWSGIServer(
            tuple(wanted),
            WSGIRequestHandler,
            ipv6=":" in wanted.host,
            # Elsewhere this lets a new server follow one that has just ended; on Windows, two share a port.
            allow_reuse_address=os.name != "nt",
        )
    except (OSError, UnicodeError) as error:
        raise CommandError(_why_not(wanted, error)) from None


def _why_not(wanted: Address, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        other = wanted._replace(port=wanted.port + 1 if wanted.port < 65535 else 0)
        return f"Another program already listens on {wanted}: stop it, or choose another port, say --address {other}."
    if code == errno.EACCES:
        return f"You may not listen on {wanted}: choose a port above 1023 with --address."
    if code == errno.EADDRNOTAVAIL or isinstance(error, UnicodeError) or not code or code < 0:
        return f"This machine has no address {wanted.host}: choose one that it has with --address, say {DEFAULT}."
    return f"Can't listen on {wanted}: {error}."


def bound(server: ThreadedWSGIServer) -> Address:
    """Return where a server listens; its port is known even if any was asked for."""
    host, port = server.server_address[:2]
    return Address(str(host), port)


def serve(server: ThreadedWSGIServer) -> None:
    """Serve the page until a signal or Ctrl-C raises an exception here."""
    here = bound(server)
    if not here.local:
        # A stranger's request may fail, but gets no traceback.
        settings.DEBUG = False
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "*" if here.everywhere else str(here).rpartition(":")[0]]
    server.set_app(get_wsgi_application())
    server.serve_forever()
