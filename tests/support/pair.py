"""A primary and its standby, by PostgreSQL's own streaming replication, that can be switched over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from demo_project.localpg import Chain, LocalPostgres
from demo_project.localpg.programs import Programs
from tests.support.settings import PASSWORD
from tests.support.waiting import until

# Not for users: without TLS, and only for the stream.
_STREAM = "hostnossl replication all 127.0.0.1/32 trust"
# A standby that reconnects late would make each test slower.
_SETTINGS = {"wal_retrieve_retry_interval": "100ms", "max_wal_senders": 4, "wal_keep_size": "64MB"}


class Member(LocalPostgres):
    """One server of a pair.

    copy_of: the running primary, if this one begins as its standby.
    """

    def __init__(self, chain: Chain, copy_of: Member | None = None) -> None:
        super().__init__(chain, durable=True, hba=[_STREAM], settings=_SETTINGS)
        self._original = copy_of
        if copy_of:
            self.superuser_password = copy_of.superuser_password

    def _make_data(self, programs: Programs) -> None:
        if self._original is None:
            super()._make_data(programs)
            return
        source = ["-h", "127.0.0.1", "-p", str(self._original.port), "-U", "postgres"]
        arguments = [*source, "-D", str(self._data), "-X", "stream", "-c", "fast", "--no-sync"]
        done = programs.run("pg_basebackup", *arguments, PGSSLMODE="disable")
        assert done.returncode == 0, done.stderr
        self.follow(self._original)

    def follow(self, primary: Member) -> None:
        """Be another server's standby from the next start on."""
        (self._data / "standby.signal").touch()
        source = f"host=127.0.0.1 port={primary.port} user=postgres sslmode=disable"
        self.settings = {**self.settings, "primary_conninfo": source}
        self._write_configuration()
        self._write_certificate(self.chain.server_pem, self.chain.key_pem)

    def promote(self) -> None:
        assert self.sql("SELECT pg_promote(true, 60)") == "t"


@contextlib.contextmanager
def streaming_pair(chain: Chain) -> Iterator[tuple[Member, Member]]:
    """Yield a primary with the database app, and its standby."""
    with Member(chain) as primary:
        primary.create("app", PASSWORD.replace("'", "''"), "app")
        with Member(chain, copy_of=primary) as standby:
            until(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1")
            yield primary, standby


def switch_over(primary: Member, standby: Member) -> None:
    """Swap the roles in an orderly way: the old primary is back as a standby when this returns."""
    primary.stop()
    standby.promote()
    primary.follow(standby)
    primary.start()
