"""The same as azpg_backend.features."""

from azpg_backend.features import DatabaseFeatures

__all__ = ["DatabaseFeatures"]
