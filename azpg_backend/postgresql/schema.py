"""The same as azpg_backend.schema."""

from azpg_backend.schema import DatabaseSchemaEditor

__all__ = ["DatabaseSchemaEditor"]
