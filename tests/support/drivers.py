"""A driver without a server, for what happens between two attempts to connect."""

from __future__ import annotations


class Driver:
    """A driver whose every connect fails."""

    class Error(Exception):
        pass

    class OperationalError(Error):
        pass


class Quiet:
    """A connection to a primary of an older release."""

    closed = False

    class info:
        server_version = 150000

        @staticmethod
        def parameter_status(name: str) -> str:
            return "off"

    @staticmethod
    def fileno() -> int:
        return -1
