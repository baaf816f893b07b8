"""The same as azpg_backend.client."""

from azpg_backend.client import DatabaseClient

__all__ = ["DatabaseClient"]
