"""What HOST means to libpq: the endpoints that it would try, each in its Azure cloud."""

from __future__ import annotations

import ipaddress
import ntpath
from typing import NamedTuple

POSTGRESQL_PORT = 5432
# Azure's built-in PgBouncer; 8432 is its balanced port on an elastic cluster.
PGBOUNCER_PORTS = frozenset({6432, 8432})
# Both lead to any node of an elastic cluster; no other server has them.
CLUSTER_PORTS = frozenset({7432, 8432})


class Cloud(NamedTuple):
    """An Azure cloud, or one of its services that has its own suffix.

    name: as the Azure CLI calls it; it decides which roots are in use.
    suffix: how the names of its servers end.
    token_resource: for what Microsoft Entra issues tokens.
    authority: who issues them.
    """

    name: str
    suffix: str
    token_resource: str
    authority: str

    @property
    def scope(self) -> str:
        """The OAuth scope of a Microsoft Entra token for PostgreSQL in this cloud."""
        return f"{self.token_resource}/.default"


CLOUDS = (
    Cloud(
        "AzureCloud",
        ".postgres.database.azure.com",
        "https://ossrdbms-aad.database.windows.net",
        "https://login.microsoftonline.com",
    ),
    # Azure HorizonDB: PostgreSQL-compatible, with the roots and TLS rules of flexible server.
    Cloud(
        "AzureCloud",
        ".horizondb.azure.com",
        "https://ossrdbms-aad.database.windows.net",
        "https://login.microsoftonline.com",
    ),
    Cloud(
        "AzureUSGovernment",
        ".postgres.database.usgovcloudapi.net",
        "https://ossrdbms-aad.database.usgovcloudapi.net",
        "https://login.microsoftonline.us",
    ),
    Cloud(
        "AzureChinaCloud",
        ".postgres.database.chinacloudapi.cn",
        "https://ossrdbms-aad.database.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
    ),
    Cloud(
        "AzureBleuCloud",
        ".postgres.database.sovcloud-api.fr",
        "https://ossrdbms-aad.database.sovcloud-api.fr",
        "https://login.sovcloud-identity.fr",
    ),
)


# Sovereign clouds for which Microsoft has not published the roots of PostgreSQL servers; the last two have no
# published suffix for PostgreSQL either.
UNPROVEN = {
    ".sovcloud-api.fr": "Bleu (France)",
    ".sovcloud-api.de": "Delos (Germany)",
    ".sovcloud-api.sg": "Singapore",
}


def cloud_of(host: str) -> Cloud | None:
    """Return the Azure cloud that serves PostgreSQL under this host name, or None."""
    name = host.lower().removesuffix(".")
    return next((cloud for cloud in CLOUDS if name.endswith(cloud.suffix)), None)


def unproven_cloud(host: str) -> str:
    """Return the cloud of a host for which no roots are published, or ""."""
    return next((cloud for suffix, cloud in UNPROVEN.items() if host.lower().endswith(suffix)), "")


class Endpoint(NamedTuple):
    """One server that libpq would try.

    host: the name to verify.
    hostaddr: the address to dial instead, or "".
    port: never 0.
    """

    host: str
    hostaddr: str
    port: int

    @property
    def is_socket(self) -> bool:
        return not self.hostaddr and is_socket_directory(self.host)

    @property
    def is_local(self) -> bool:
        """Whether traffic to it can't leave this machine: both the name and the address are judged."""
        return is_local(self.host) and (not self.hostaddr or is_loopback(self.hostaddr))

    def __str__(self) -> str:
        return f"{self.host or self.hostaddr}:{self.port}"


def is_socket_directory(host: str) -> bool:
    """Whether libpq takes this host as a Unix-domain socket: a path, an abstract name, or nothing at all.

    An absolute Windows path counts too (libpq's ``is_unixsock_path``).
    """
    return host == "" or host.startswith(("/", "@")) or bool(ntpath.splitdrive(host)[0] and ntpath.isabs(host))


def is_ip_address(host: str) -> bool:
    try:
        # A scope ("fe80::1%eth0") is accepted by getaddrinfo and by ipaddress alike.
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether the host is a loopback address; of names, only ``localhost`` is reserved for it (RFC 6761, 6.3)."""
    if is_ip_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def is_local(host: str) -> bool:
    return is_socket_directory(host) or is_loopback(host)


def is_server_behind(user: str, host: str) -> bool:
    """Whether a user has the retired form user@server, with the server's short or full name."""
    _, at, server = user.rpartition("@")
    return bool(at) and server.lower() in (host.lower(), host.lower().partition(".")[0])


class Unpaired(ValueError):
    """The lists of hosts, addresses and ports don't go together.

    keyword: the list to look at.
    """

    def __init__(self, keyword: str, reason: str) -> None:
        super().__init__(reason)
        self.keyword = keyword


def endpoints(host: str, hostaddr: str, port: str) -> tuple[Endpoint, ...]:
    """Pair up libpq's comma-separated lists of hosts, addresses and ports, each item as libpq takes it.

    Raises Unpaired, a ValueError with the reason in words, if libpq would refuse the lists or a port.
    """
    hosts = host.split(",") if host else []
    hostaddrs = hostaddr.split(",") if hostaddr else []
    ports = port.split(",") if port else []
    if hosts and hostaddrs and len(hosts) != len(hostaddrs):
        counted = f"HOST lists {_count(hosts, 'host')} but hostaddr lists {_count(hostaddrs, 'address')}"
        raise Unpaired("host", counted)
    count = max(len(hosts), len(hostaddrs), 1)
    if len(ports) not in (0, 1, count):
        raise Unpaired("port", f"PORT lists {_count(ports, 'port')} but there {_are(count, 'host')}")
    if bad := [item for item in hostaddrs if item and not is_ip_address(item)]:
        raise Unpaired("hostaddr", f"hostaddr {bad[0]!r} is not an IP address")
    hosts = hosts or [""] * count
    hostaddrs = hostaddrs or [""] * count
    numbers = [_port(item) for item in ports or [""]]
    return tuple(Endpoint(*each) for each in zip(hosts, hostaddrs, numbers * (count // len(numbers)), strict=True))


def _count(items: list[str], noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{len(items)} {noun if len(items) == 1 else plural}"


def _are(count: int, noun: str) -> str:
    return f"is 1 {noun}" if count == 1 else f"are {count} {noun}s"


def _port(text: str) -> int:
    if not text:
        return POSTGRESQL_PORT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 65535 and len(text) < 9):
        raise Unpaired("port", f"port {text!r} is not a number from 1 to 65535")
    return int(text)
