"""Django's own, for packages that look for this module beside an engine."""

from django.db.backends.postgresql.schema import DatabaseSchemaEditor

__all__ = ["DatabaseSchemaEditor"]
