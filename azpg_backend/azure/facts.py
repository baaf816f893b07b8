"""What Azure says of a server, as plain frozen values."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from azpg_backend.plan.resource_id import ResourceId


@dataclass(frozen=True)
class PrivateEndpoint:
    """name: of the private endpoint. status: Approved, Pending or Rejected. connection: the name of its connection."""

    name: str
    status: str
    connection: str


@dataclass(frozen=True)
class Server:
    """A flexible server.

    subnet: resource id of its delegated subnet; "" for a server with public access or private endpoints.
    zone: resource id of its private DNS zone; "" if it has none.
    public: whether public access is on.
    role: Primary, AsyncReplica, GeoAsyncReplica or None.
    source: resource id of the server that it replicates; "" for a primary.
    administrator: the role that was named when the server was made.
    window: the maintenance window in words; "" if Azure chooses.
    """

    id: ResourceId
    host: str
    state: str
    version: str = ""
    tier: str = ""
    sku: str = ""
    ha_mode: str = "Disabled"
    ha_state: str = "NotEnabled"
    public: bool = True
    subnet: str = ""
    zone: str = ""
    entra: bool = False
    password: bool = True
    role: str = "Primary"
    source: str = ""
    administrator: str = ""
    window: str = ""
    storage_gb: int = 0
    auto_grow: bool = False
    endpoints: tuple[PrivateEndpoint, ...] = ()

    @property
    def network(self) -> str:
        """The network mode, in words."""
        if self.subnet:
            return "virtual network"
        access = "public access" if self.public else "public access off"
        return f"{access}, private endpoint" if self.endpoints else access


@dataclass(frozen=True)
class Rule:
    """A firewall rule, from one IPv4 address to another."""

    name: str
    start: str
    end: str

    def has(self, address: str) -> bool:
        try:
            low, this, high = (ipaddress.ip_address(each) for each in (self.start, address, self.end))
            return low <= this <= high  # type: ignore[operator]
        except (ValueError, TypeError):
            return False

    @property
    def is_azure(self) -> bool:
        """Whether it lets in Azure's own services, of any tenant."""
        return (self.start, self.end) == ("0.0.0.0", "0.0.0.0")  # noqa: S104 (nothing listens there)

    def __str__(self) -> str:
        if self.is_azure:
            return f"{self.name}: Azure's own services"
        return f"{self.name}: {self.start}" + (f" to {self.end}" if self.end != self.start else "")


@dataclass(frozen=True)
class Parameter:
    """A server parameter. pending: whether its value waits for a restart."""

    value: str
    pending: bool = False


@dataclass(frozen=True)
class Event:
    """A maintenance event. start: None if Azure does not say."""

    status: str
    start: datetime.datetime | None = None


@dataclass(frozen=True)
class Known:
    """All that Azure told. What is None could not be read, or was not asked."""

    server: Server
    rules: tuple[Rule, ...] | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    administrators: tuple[str, ...] | None = None
    replicas: Mapping[str, str] | None = None
    virtual_endpoints: tuple[str, ...] | None = None
    events: tuple[Event, ...] | None = None
    links: tuple[str, ...] | None = None
    storage_percent: float | None = None

    def parameter(self, name: str) -> str:
        """Return a parameter's value, or "" if it is not known."""
        found = self.parameters.get(name)
        return found.value if found else ""


@dataclass(frozen=True)
class Seen:
    """What the other steps saw, and what the alias wants.

    addresses: that the name leads to; empty if it leads nowhere.
    own_address: this machine's, as the server sees it; "" if it did not say.
    unanswered: whether packets went out and nothing came back.
    extensions: that migrations create, each with its migration.
    pool: connections that this process's pool may open; 0 without a pool.
    tls_max: the alias's ssl_max_protocol_version; "" if there is none.
    """

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    own_address: str = ""
    unanswered: bool = False
    logged_in: bool = False
    entra: bool = False
    user: str = ""
    writes: bool = True
    extensions: Mapping[str, str] = field(default_factory=dict)
    pool: int = 0
    tls_max: str = ""
