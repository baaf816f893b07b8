"""Django's own, for packages that look for this module beside an engine."""

from django.db.backends.postgresql.operations import DatabaseOperations

__all__ = ["DatabaseOperations"]
