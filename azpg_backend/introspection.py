"""Django's own, for packages that look for this module beside an engine."""

from django.db.backends.postgresql.introspection import DatabaseIntrospection

__all__ = ["DatabaseIntrospection"]
