"""The same as azpg_backend.base."""

from azpg_backend.base import DatabaseWrapper

__all__ = ["DatabaseWrapper"]
