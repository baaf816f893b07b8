"""The same as azpg_backend.introspection."""

from azpg_backend.introspection import DatabaseIntrospection

__all__ = ["DatabaseIntrospection"]
