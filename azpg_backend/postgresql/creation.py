"""The same as azpg_backend.creation."""

from azpg_backend.creation import DatabaseCreation

__all__ = ["DatabaseCreation"]
