"""The roots in use are tried before all that are shipped: what that saves, and that it changes no verdict."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import OperationalError

from azpg_backend import plans, trust
from azpg_backend.trust import manifest
from demo_project.localpg import Chain, LocalPostgres
from tests import servers
from tests.conftest import HOST, Settings, SettingsFor

Connect = Callable[..., Any]


def certificates(path: str) -> list[str]:
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", Path(path).read_text(), re.DOTALL)


def test_they_are_those_of_the_manifest_and_part_of_the_bundle() -> None:
    current = [certificates(str(manifest.pem_path(root)))[0] for root in manifest.bundled() if root.status == "current"]
    assert certificates(trust.IN_USE) == current
    assert set(current) < set(certificates(trust.BUNDLE))


class Visits:
    """A relay to a server that counts its visitors. port: where it listens."""

    def __init__(self, server: LocalPostgres) -> None:
        self.server = server
        self.count = 0
        self.port = 0

    def __call__(self, visitor: socket.socket) -> None:
        self.count += 1
        servers.carry(visitor, self.server.port)


@pytest.fixture
def visits(server: LocalPostgres) -> Iterator[Visits]:
    counted = Visits(server)
    with servers.listening(counted) as counted.port:
        yield counted


@pytest.fixture
def shipped(
    chain: Chain, visits: Visits, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Settings]]:
    """Return a function that makes the packaged files, with or without the local server's root in each."""
    packaged, in_use = Path(trust.BUNDLE).read_text(), Path(trust.IN_USE).read_text()

    def make(*, bundle: bool, used: bool) -> Settings:
        for name, text, with_root in (("BUNDLE", packaged, bundle), ("IN_USE", in_use, used)):
            path = tmp_path / name
            path.write_text(text + (chain.root_pem if with_root else ""))
            monkeypatch.setattr(trust, name, str(path))
        plans.forget()
        settings = settings_for(visits.server, PORT=visits.port)
        del settings["OPTIONS"]["sslrootcert"]
        return settings

    yield make
    plans.forget()


def log_in(connect: Connect, settings: Settings) -> None:
    wrapper = connect(settings)
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)
    wrapper.close()


def test_where_they_suffice_the_bundle_is_not_read(
    shipped: Callable[..., Settings], connect: Connect, visits: Visits
) -> None:
    settings = shipped(bundle=True, used=True)
    Path(trust.BUNDLE).unlink()
    log_in(connect, settings)
    assert visits.count == 1


def test_a_server_under_another_root_of_the_bundle_is_accepted_and_remembered(
    shipped: Callable[..., Settings], connect: Connect, visits: Visits
) -> None:
    settings = shipped(bundle=True, used=False)
    log_in(connect, settings)
    assert visits.count == 2
    log_in(connect, settings)
    assert visits.count == 3


def test_a_server_under_no_root_of_the_bundle_is_refused_each_time(
    shipped: Callable[..., Settings], connect: Connect, visits: Visits
) -> None:
    settings = shipped(bundle=False, used=False)
    for tries in (2, 4):
        with pytest.raises(OperationalError, match="certificate verify failed"):
            log_in(connect, settings)
        assert visits.count == tries


def test_another_failure_is_not_tried_again(shipped: Callable[..., Settings], connect: Connect, visits: Visits) -> None:
    settings = shipped(bundle=True, used=True)
    with pytest.raises(OperationalError, match="does not match host name"):
        log_in(connect, {**settings, "HOST": f"other.{HOST.partition('.')[2]}"})
    assert visits.count == 1


def test_the_user_s_own_file_is_the_only_one_that_counts(
    shipped: Callable[..., Settings], connect: Connect, visits: Visits, tmp_path: Path
) -> None:
    settings = shipped(bundle=True, used=True)
    own = tmp_path / "own.pem"
    own.write_text(manifest.pem(manifest.bundled()[0]))
    settings["OPTIONS"]["sslrootcert"] = str(own)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        log_in(connect, settings)
    assert visits.count == 1


def test_of_several_hosts_none_is_passed_over(
    shipped: Callable[..., Settings], connect: Connect, visits: Visits
) -> None:
    settings = shipped(bundle=True, used=False)
    settings["OPTIONS"]["hostaddr"] = ",".join(["127.0.0.1"] * 2)
    log_in(connect, {**settings, "HOST": f"{HOST},{HOST}"})
    assert visits.count == 1
