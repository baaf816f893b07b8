"""The same as azpg_backend.operations."""

from azpg_backend.operations import DatabaseOperations

__all__ = ["DatabaseOperations"]
