"""The root CAs of Azure Database for PostgreSQL, shipped with the package."""

from pathlib import Path

# What libpq is given as sslrootcert: a real file, because libpq reads it itself.
BUNDLE = str(Path(__file__).with_name("bundle.pem"))
