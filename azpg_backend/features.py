"""Django's own, for packages that look for this module beside an engine."""

from django.db.backends.postgresql.features import DatabaseFeatures

__all__ = ["DatabaseFeatures"]
