"""Django's own, for packages that look for this module beside an engine."""

from django.db.backends.postgresql.creation import DatabaseCreation

__all__ = ["DatabaseCreation"]
