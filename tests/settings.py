"""Django settings of the test suite. Tests that need a database make their own alias on a local server."""

SECRET_KEY = "tests"
INSTALLED_APPS = ["azpg_backend", "demo_project.notes"]
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "myadmin",
        "HOST": "mydemoserver.postgres.database.azure.com",
    }
}
