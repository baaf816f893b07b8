"""The root CAs of Azure Database for PostgreSQL, shipped with the package."""

from pathlib import Path

# What libpq is given as sslrootcert: a real file, because libpq reads it itself.
BUNDLE = str(Path(__file__).with_name("bundle.pem"))
# Those of its roots that servers are documented to use now, which are tried first.
IN_USE = str(Path(__file__).with_name("in-use.pem"))
