"""Django database backend for Azure Database for PostgreSQL, with verified TLS.

Nothing is imported from here: settings name dotted paths. ``"ENGINE": "azpg_backend"`` (or
``"azpg_backend.postgis"``) is the engine; ``"azpg_backend"`` in ``INSTALLED_APPS`` adds the system
checks and ``manage.py azpg_check``.
"""
