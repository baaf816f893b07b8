"""A real PostgreSQL over TLS on this machine, with a certificate chain of Azure's shape: for the demo and the tests."""

from demo_project.localpg.binaries import LocalPostgresError
from demo_project.localpg.certificates import Authority, Chain, azure_chain
from demo_project.localpg.server import LocalPostgres

__all__ = ["Authority", "Chain", "LocalPostgres", "LocalPostgresError", "azure_chain"]
