"""Stand-ins for what issues tokens: App Service's identity endpoint, VM metadata, Microsoft Entra itself."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import web
from tests.support.web import Reply, Request

RESOURCE = "https://ossrdbms-aad.database.windows.net"
TENANT = "11111111-2222-3333-4444-555555555555"
UAMI = "/subscriptions/0/resourcegroups/demo/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
HEADER = "identity-header-s3cret"


def jwt(claims: Mapping[str, Any], size: int = 1800) -> str:
    """Return an unsigned token of about so many characters, which are those of group claims and the signature."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    head = part({"typ": "JWT", "alg": "RS256", "kid": "stand-in"})
    signature = "s" * 342
    body: dict[str, Any] = {"aud": RESOURCE, "tid": TENANT, "iss": f"https://sts.windows.net/{TENANT}/", **claims}
    padding = max(0, size - len(head) - len(signature) - len(part(body)) - 12) * 3 // 4
    return ".".join([head, part({**body, "groups": "g" * padding}), signature])


@dataclass
class Issuer:
    """What a stand-in does, to be changed while it runs.

    life: seconds that a token lives. claims: of its tokens, by client id ("" without one). before: called for every
    token request, in its turn, with its number; it may sleep, and what it returns is sent instead of a token, as
    status and body. issued: every token and its end in Unix seconds. requests: the parameters of each token request.
    """

    life: float = 3600
    claims: dict[str, dict[str, Any]] = field(default_factory=lambda: {"": {"xms_mirid": UAMI + "app"}})
    size: int = 1800
    before: Callable[[int], tuple[int, str, dict[str, str]] | None] | None = None
    fixed: dict[str, str] = field(default_factory=dict)
    issued: dict[str, float] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def token(self, client: str) -> tuple[str, float]:
        """Make a token for a client, or give out its fixed one."""
        end = time.time() + self.life
        claims = {**(self.claims.get(client) or self.claims.get("", {})), "exp": int(end), "jti": len(self.issued)}
        text = self.fixed.get(client) or jwt(claims, self.size)
        self.issued[text] = end
        return text, end

    def answer(self, parameters: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        self.requests.append(parameters)
        if self.before is not None and (instead := self.before(len(self.requests))) is not None:
            return instead
        text, end = self.token(parameters.get("client_id", ""))
        # Whole seconds, as everywhere; never beyond the true end.
        body = {
            "access_token": text,
            "expires_on": str(int(end)),
            "expires_in": int(self.life),
            "resource": RESOURCE,
            "token_type": "Bearer",
        }
        return 200, json.dumps(body), {}


@contextlib.contextmanager
def serving(issuer: Issuer, context: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """Serve an issuer on loopback; as localhost over TLS, where there is a context for it."""

    def answer(request: Request) -> Reply:
        address = urllib.parse.urlsplit(request.target)
        if address.path.endswith("/.well-known/openid-configuration"):
            return Reply(200, json.dumps(discovery(issuer.url)))
        return Reply(*issuer.answer(dict(urllib.parse.parse_qsl(request.body.decode() or address.query))))

    with web.serving(answer, context) as issuer.url:
        yield issuer


def discovery(url: str) -> dict[str, str]:
    """What Microsoft Entra says of a tenant's endpoints."""
    base = f"{url}/{TENANT}"
    return {
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
    }
