"""Whose token it is: the claims of an access token, read without verification."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass

_USER_ASSIGNED = "/providers/microsoft.managedidentity/userassignedidentities/"


@dataclass(frozen=True)
class Identity:
    """What a token says about its owner; "" where it is silent.

    kind: "user", "guest", "user-assigned identity", "system-assigned identity", "service principal" or "unknown".
    name: the user's name, the identity's, or that of the resource it is assigned to. role: the name of its PostgreSQL
    role, where that can be known; a member of a group may log in as the group instead. tenant, object_id and app_id
    are GUIDs; audience is the service the token is for.
    """

    kind: str = "unknown"
    name: str = ""
    role: str = ""
    tenant: str = ""
    object_id: str = ""
    app_id: str = ""
    audience: str = ""

    def __str__(self) -> str:
        who = repr(self.name) if self.name else self.app_id or self.object_id
        return f"{self.kind} {who}".rstrip()


def identity_of(token: str) -> Identity:
    """Read the claims of a JWT. What isn't one gives an Identity of kind "unknown"."""
    claims = _claims(token)

    def text(*names: str) -> str:
        return next((str(claims[name]) for name in names if isinstance(claims.get(name), str) and claims[name]), "")

    kind, name, role = _owner(text)
    return Identity(kind, name, role, text("tid"), text("oid"), text("appid", "azp"), text("aud"))


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _owner(text: Callable[..., str]) -> tuple[str, str, str]:
    resource = text("xms_mirid")
    if resource:
        name = _display_name(resource)
        return f"{'user' if _USER_ASSIGNED in resource.lower() else 'system'}-assigned identity", name, name
    name = text("upn", "preferred_username", "unique_name")
    if text("idtyp") == "app" or not name:
        return ("service principal" if text("appid", "azp") else "unknown"), text("app_displayname"), ""
    # A guest's role bears the name of the guest's account in the server's tenant, which the token does not hold.
    if "#" in name or (text("idp") and text("idp") != text("iss")):
        return "guest", name, name if "#EXT#" in name.upper() else ""
    return "user", name, name


def _display_name(resource: str) -> str:
    """Return the name that Microsoft Entra gives to the identity of a resource: the resource's own.

    A deployment slot's is "app/slots/staging" (Microsoft, "How to use managed identities for App Service").
    """
    parts = resource.strip("/").split("/")
    if len(parts) > 3 and parts[-2].lower() == "slots":
        return "/".join(parts[-3:])
    return parts[-1]


def advice(identity: Identity) -> str:
    """Return which name USER must have, for an identity whose role can't be known from its token."""
    listed = "SELECT * FROM pgaadauth_list_principals(false) lists the names that the server knows."
    if identity.kind == "service principal":
        return (
            f"Put the display name of the enterprise application with the application id {identity.app_id} into USER "
            f"(az ad sp show --id {identity.app_id} --query displayName), not the id. {listed}"
        )
    if identity.kind == "guest":
        return (
            "Put the guest's full name in the server's tenant into USER, such as "
            "'me_home.com#EXT#@tenant.onmicrosoft.com' "
            f"(az ad signed-in-user show --query userPrincipalName). {listed}"
        )
    return f"Put the exact name of the identity's role into USER. {listed}"
