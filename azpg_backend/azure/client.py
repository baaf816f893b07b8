"""A client of Azure's management API that can only read.

Imported nowhere but in the azure step: it needs the extra [azure].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ServiceResponseTimeoutError
from azure.core.pipeline import policies
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient

from azpg_backend.azure.places import Place
from azpg_backend.entra.tokens import Token
from azpg_backend.plan.resource_id import ResourceId

# API versions of what the PostgreSQL client does not cover.
_SUBSCRIPTIONS = "2022-12-01"
_ZONE_LINKS = "2020-06-01"
_METRICS = "2018-01-01"
# Pages of a list; Azure's own have a hundred items and more.
_MOST_PAGES = 50
# No list is asked for a subscription that has no name, but the client wants one.
_NONE = "00000000-0000-0000-0000-000000000000"


class Changes(Exception):
    """A request was about to change something, or to leave for another host with the token."""


class ReadOnly(RequestsTransport):  # type: ignore[misc]
    """Sends nothing but GET, to nobody but the management API, while there is time.

    place: whom the token is for.
    left: returns the seconds that remain, or raises TimeoutError.
    """

    def __init__(self, place: Place, left: Callable[[], float]) -> None:
        super().__init__()
        self._origin = urlsplit(place.url)[:2]
        self._left = left

    def send(self, request: Any, **kwargs: Any) -> Any:
        if request.method != "GET" or urlsplit(request.url)[:2] != self._origin:
            raise Changes(f"refused to send {request.method} to {urlsplit(request.url).hostname}")
        left = self._left()
        try:
            return super().send(request, **{**kwargs, "connection_timeout": left, "read_timeout": left})
        except ServiceResponseTimeoutError as error:
            raise TimeoutError("no answer in time") from error


class Patience(policies.RetryPolicy):  # type: ignore[misc]
    """Tries again what Azure throttles or fails for a moment, unless it asks for a longer wait than there is time."""

    def __init__(self, left: Callable[[], float]) -> None:
        super().__init__(retry_total=2, retry_connect=0, retry_read=0, retry_backoff_factor=0.2)
        self._left = left

    def is_retry(self, settings: Any, response: Any) -> bool:
        wait = self.get_retry_after(response) or 0.0
        return bool(super().is_retry(settings, response)) and wait < self._left()


class Whole(policies.SansIOHTTPPolicy[Any, Any]):  # type: ignore[misc]
    """Refuses an answer that is neither a resource nor a list: the client takes a list without a value for empty."""

    def on_response(self, request: Any, response: Any) -> None:
        body = response.context.get(policies.ContentDecodePolicy.CONTEXT_NAME)
        if response.http_response.status_code == 200 and isinstance(body, dict) and not body.keys() & {"id", "value"}:
            raise ValueError("the answer is neither a resource nor a list")


class _Held:
    """The credential of one token: it is asked for once, before anything else."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        return AccessToken(self._token.text, int(self._token.expires_on))


class Azure:
    """The management API of one cloud, for one identity.

    place: where it is.
    token: for it.
    left: returns the seconds that remain, or raises TimeoutError.
    """

    def __init__(self, place: Place, token: Token, left: Callable[[], float]) -> None:
        self._place = place
        self._held = _Held(token)
        self._left = left

    def client(self, subscription: str = _NONE) -> Any:
        """Return Microsoft's client without the policy that registers resource providers, redirects and logs."""
        chain = [
            policies.UserAgentPolicy(sdk_moniker="django-azpg"),
            policies.ProxyPolicy(),
            Whole(),
            policies.ContentDecodePolicy(),
            Patience(self._left),
            policies.BearerTokenCredentialPolicy(self._held, self._place.scope),
        ]
        return PostgreSQLManagementClient(
            self._held,
            subscription,
            self._place.url,
            credential_scopes=[self._place.scope],
            policies=chain,
            transport=ReadOnly(self._place, self._left),
        )

    def subscriptions(self) -> list[str]:
        """Return the ids of the subscriptions that the identity can read."""
        rows = self._rows(f"/subscriptions?api-version={_SUBSCRIPTIONS}")
        return [str(row["subscriptionId"]) for row in rows if row.get("state") not in {"Disabled", "Deleted"}]

    def zone_links(self, zone: str) -> list[str]:
        """Return the resource ids of the virtual networks that a private DNS zone is linked to."""
        rows = self._rows(f"{zone}/virtualNetworkLinks?api-version={_ZONE_LINKS}")
        return [str(row["properties"]["virtualNetwork"]["id"]) for row in rows]

    def storage_percent(self, server: ResourceId) -> float | None:
        """Return how full the storage was when it was last measured within the hour, or None if it was not."""
        path = f"{server}/providers/Microsoft.Insights/metrics?api-version={_METRICS}"
        body = self._get(f"{path}&metricnames=storage_percent&aggregation=Maximum&interval=PT5M")
        series = [each for metric in body["value"] for each in metric["timeseries"]]
        figures = [row["maximum"] for each in series for row in each["data"] if row.get("maximum") is not None]
        return float(figures[-1]) if figures else None

    def _rows(self, path: str) -> Iterator[dict[str, Any]]:
        for _ in range(_MOST_PAGES):
            body = self._get(path)
            yield from body["value"]
            path = str(body.get("nextLink") or "")
            if not path:
                return

    def _get(self, path: str) -> dict[str, Any]:
        response = self.client().send_request(HttpRequest("GET", path if "://" in path else self._place.url + path))
        if response.status_code != 200:
            raise HttpResponseError(response=response, error_format=ARMErrorFormat)
        body = response.json()
        if not isinstance(body, dict):
            raise ValueError("the answer is not an object")
        return body
