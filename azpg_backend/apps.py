"""The Django app: ``"azpg_backend"`` in INSTALLED_APPS brings the system checks."""

from django.apps import AppConfig
from django.core.checks import register


class AzpgConfig(AppConfig):
    name = "azpg_backend"
    verbose_name = "Azure Database for PostgreSQL"

    def ready(self) -> None:
        from azpg_backend import checks

        # Not under the tag "database": those checks run only with --database, and a mistake in the settings should be
        # seen by every manage.py command.
        register(checks.check_settings, "azpg")
        register(checks.check_ca_files, "azpg")
        register(checks.check_azure_identity, "azpg")
