"""A token's life: renewed before its end, kept while renewal fails, across threads, forks and faults."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db.utils import OperationalError

from azpg_backend.entra import tokens
from azpg_backend.entra.tokens import Keeper, Token, TokenError
from tests.support import soak
from tests.support.gateway import Gateway
from tests.support.settings import EntraSettings
from tests.support.sql import user_of
from tests.support.standins import HEADER, Issuer, jwt
from tests.support.waiting import LIMIT, until

Connect = Callable[..., Any]


class Clerk:
    """A fetch function that counts.

    life: seconds that a token lives.
    takes: seconds until there is one.
    renew: seconds after which it wants to be renewed, or 0 for the keeper's own choice.
    ready: cleared, no token is made until it is set again.
    """

    def __init__(self, life: float = 3600, takes: float = 0, renew: float = 0) -> None:
        self.life = life
        self.takes = takes
        self.renew = renew
        self.ready = threading.Event()
        self.ready.set()
        self.asked: list[bool] = []
        self.problem = ""

    def __call__(self, fresh: bool) -> Token:
        self.asked.append(fresh)
        time.sleep(self.takes)
        self.ready.wait(LIMIT)
        if self.problem:
            raise TokenError(self.problem)
        now = time.time()
        return Token(f"token-{len(self.asked)}", now + self.life, renew_on=now + self.renew if self.renew else 0)


@pytest.mark.slow
def test_no_request_waits_for_a_renewal() -> None:
    clerk = Clerk(life=8, renew=0.5)
    keeper = Keeper("clerk", clerk)
    for number in (1, 2, 3):
        until(lambda number=number: keeper.get().text == f"token-{number}")
        clerk.ready.clear()
        until(lambda number=number: len(clerk.asked) > number)
        # The next token is held back: a caller that waited for it would get an error.
        for _ in range(20):
            token = keeper.get(wait=1)
            assert token.text == f"token-{number}"
            assert token.left > 0
        clerk.ready.set()


def test_a_slow_service_is_asked_once_by_all() -> None:
    clerk = Clerk(takes=0.3)
    keeper = Keeper("clerk", clerk)
    with ThreadPoolExecutor(20) as threads:
        assert len({token.text for token in threads.map(lambda _: keeper.get(), range(60))}) == 1
    assert clerk.asked == [False]


def test_those_who_wait_do_not_wake_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among greenlets the thread that fetches would never get its turn."""
    clerk = Clerk()
    clerk.ready.clear()
    keeper = Keeper("clerk", clerk)
    rounds: list[int] = []
    run_thread = keeper._run_thread

    def counted() -> None:
        rounds.append(1)
        run_thread()

    monkeypatch.setattr(keeper, "_run_thread", counted)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(keeper.get) for _ in range(4)]
        until(lambda: len(rounds) >= 4)
        time.sleep(0.3)
        clerk.ready.set()
        assert {each.result(LIMIT).text for each in waiting} == {"token-1"}
    # Each asks at most twice, before the token is there and after.
    assert len(rounds) <= 8


@pytest.mark.slow
def test_all_who_wait_share_one_failure() -> None:
    clerk = Clerk(takes=2)
    clerk.problem = "no identity"
    keeper = Keeper("clerk", clerk)

    def one(_: int) -> str:
        with pytest.raises(TokenError) as raised:
            keeper.get()
        return str(raised.value)

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(one, range(20))) == {"no identity"}
    assert len(clerk.asked) == 1
    clerk.problem = ""
    assert keeper.get().text == "token-2"


def test_a_service_that_refuses_at_once_is_not_stormed() -> None:
    """Where there is no token, every login of a busy site asks for one."""
    clerk = Clerk()
    clerk.problem = "no identity"
    keeper = Keeper("clerk", clerk)
    end = time.monotonic() + 1

    def ask(_: int) -> None:
        while time.monotonic() < end:
            with pytest.raises(TokenError, match="no identity"):
                keeper.get()

    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))
    assert 2 <= len(clerk.asked) <= 2 + (time.monotonic() - started) / tokens.PAUSE
    clerk.problem = ""
    assert keeper.get().serves


@pytest.mark.slow
def test_the_old_token_serves_while_renewal_fails_and_a_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clerk = Clerk(life=6, renew=0.5)
    keeper = Keeper("clerk", clerk)
    first = keeper.get()
    clerk.problem = "no route"
    until(lambda: "could not be renewed" in caplog.text)
    assert keeper.get() == first
    assert "no route" in caplog.text
    assert first.text not in caplog.text
    until(lambda: first.left < 0)
    with pytest.raises(TokenError, match="no route"):
        keeper.get()
    clerk.problem = ""
    assert keeper.get().serves


def test_a_service_that_never_answers_is_not_waited_for_without_end() -> None:
    clerk = Clerk()
    clerk.ready.clear()
    keeper = Keeper("clerk", clerk)
    started = time.monotonic()
    with pytest.raises(TokenError, match=r"clerk gave no answer within 0\.2 s"):
        keeper.get(wait=0.2)
    assert time.monotonic() - started < 30
    clerk.ready.set()
    # The answer that came late is there for the next.
    assert keeper.get().text == "token-1"


def test_a_token_that_has_ended_already_points_to_the_clock() -> None:
    clerk = Clerk(life=-5)
    with pytest.raises(TokenError, match="clock"):
        Keeper("clerk", clerk).get()
    assert len(clerk.asked) == 1


def test_a_refused_token_is_asked_for_afresh_and_once_for_all() -> None:
    clerk = Clerk(takes=0.1)
    keeper = Keeper("clerk", clerk)
    refused = keeper.get().text
    with ThreadPoolExecutor(8) as threads:
        texts = set(threads.map(lambda _: keeper.get(refused).text, range(8)))
    assert texts == {"token-2"}
    assert clerk.asked == [False, True]


def test_a_service_that_keeps_giving_the_refused_token_does_not_hang() -> None:
    keeper = Keeper("clerk", lambda fresh: Token("same", time.time() + 3600))
    assert keeper.get().text == "same"
    assert keeper.get("same", wait=30).text == "same"


@pytest.mark.slow
def test_what_nobody_asks_for_is_left_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "IDLE_RENEWALS", 2)
    clerk = Clerk(life=2)
    keeper = Keeper("clerk", clerk)
    keeper.get()
    until(lambda: keeper._thread is None)
    assert 2 <= len(clerk.asked) <= 3
    assert keeper.get().serves


@pytest.mark.parametrize(
    "token, seconds",
    [
        (Token("t", 3600, fetched_on=0), 3310),
        (Token("t", 86400, renew_on=43200, fetched_on=0), 43200),
        (Token("t", 2, fetched_on=0), 1),
    ],
)
def test_when_a_token_is_renewed(token: Token, seconds: float) -> None:
    assert token.due == seconds


def busy(number: int) -> tuple[int, str, dict[str, str]] | None:
    return (429, '{"error": "throttled"}', {"Retry-After": "0"}) if number == 1 else None


def broken(number: int) -> tuple[int, str, dict[str, str]] | None:
    return (503, "no", {"Content-Type": "text/plain"}) if number == 1 else None


@pytest.mark.parametrize("before", [busy, broken])
def test_a_service_that_is_busy_for_a_moment_is_asked_again(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect, before: Any
) -> None:
    issuer.before = before
    assert user_of(connect(entra_settings(azure.port))) == "app"
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    "answer, words",
    [
        ((500, '{"statusCode": 500, "message": "down"}', {}), "did not answer with a token"),
        ((200, "not json", {}), "no Microsoft Entra token"),
        ((200, '{"access_token": "", "expires_on": "1"}', {}), "no Microsoft Entra token"),
        ((200, '{"access_token": "a b", "expires_on": "99999999999"}', {}), "not a token"),
        ((200, json.dumps({"access_token": jwt({}), "expires_on": "soon"}), {}), "no Microsoft Entra token"),
        ((200, json.dumps({"access_token": jwt({}), "expires_on": "1"}), {}), "Set the clock"),
        ((200, json.dumps([jwt({})]), {}), "no Microsoft Entra token"),
        ((400, json.dumps({"statusCode": 400, "message": jwt({})}), {}), "az webapp identity assign"),
    ],
)
def test_what_the_service_can_answer_instead(
    issuer: Issuer,
    entra_settings: EntraSettings,
    connect: Connect,
    answer: tuple[int, str, dict[str, str]],
    words: str,
) -> None:
    issuer.before = lambda number: answer
    arguments = {"credential_kwargs": {"retry_total": 0, "retry_status": 0}}
    with pytest.raises(OperationalError) as raised:
        user_of(connect(entra_settings(1, arguments)))
    assert words in str(raised.value)
    assert "azpg_check default" in str(raised.value)
    assert jwt({})[:60] not in str(raised.value)


@pytest.mark.slow
def test_a_service_that_takes_five_seconds_delays_only_the_first(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    issuer.before = lambda number: time.sleep(5)
    settings = entra_settings(azure.port)
    started = time.monotonic()
    assert user_of(connect(settings)) == "app"
    first = time.monotonic() - started
    assert user_of(connect(settings)) == "app"
    assert first > 5 > time.monotonic() - started - first


def test_secrets_of_the_settings_and_the_environment_are_masked(
    issuer: Issuer, entra_settings: EntraSettings, connect: Connect
) -> None:
    def fail(**kwargs: str) -> None:
        raise RuntimeError(f"refused {kwargs['client_secret']} {HEADER} of {kwargs['client_id']}")

    azpg = {"credential": fail, "credential_kwargs": {"client_secret": "hush-hush", "client_id": "my-app"}}
    with pytest.raises(OperationalError) as raised:
        user_of(connect(entra_settings(1, azpg)))
    assert "refused ******** ******** of my-app" in str(raised.value)


def in_children(run: Callable[[], Any], count: int = 3) -> list[Any]:
    """Run a function in forked children at the same time and return what they return."""
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()

    def child() -> None:
        try:
            results.put(run())
        except BaseException as error:  # noqa: BLE001 (told to the parent)
            results.put(f"{type(error).__name__}: {error}")
        results.close()
        results.join_thread()
        os._exit(0)

    with warnings.catch_warnings():
        # Python warns of forks beside threads, which is what this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [context.Process(target=child) for _ in range(count)]
        for each in children:
            each.start()
    answers = [results.get(timeout=90) for _ in children]
    for each in children:
        each.join(90)
    results.close()
    return answers


@pytest.mark.slow
def test_children_go_on_with_the_token_and_renew_it_themselves(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings, connect: Connect
) -> None:
    issuer.life = 6
    settings = entra_settings(azure.port)
    assert user_of(connect(settings)) == "app"

    def work() -> list[str]:
        users = [user_of(connect(settings))]
        time.sleep(6.5)
        return [*users, user_of(connect(settings))]

    assert in_children(work) == [["app", "app"]] * 3
    assert azure.refused == []


@pytest.mark.slow
def test_a_fork_in_the_middle_of_a_request_and_with_the_lock_held() -> None:
    clerk = Clerk(takes=1)
    keeper = Keeper("clerk", clerk)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with keeper._lock:
            held.set()
            done.wait(2 * LIMIT)

    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(keeper.get)
        until(lambda: clerk.asked)
        threads.submit(hold)
        held.wait(LIMIT)
        try:
            answers = in_children(lambda: keeper.get(wait=LIMIT).text)
        finally:
            done.set()
        assert answers == ["token-2"] * 3
        assert waiting.result().text == "token-1"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_many_lifetimes_of_tokens_in_threads_pools_and_forks(
    issuer: Issuer, azure: Gateway, entra_settings: EntraSettings
) -> None:
    issuer.life = soak.TOKEN_LIFE
    counted = soak.soak(azure, entra_settings(azure.port), 12)
    assert counted["failures"] == []
    assert counted["refused"] == 0
    assert counted["logins"] > 50
    assert counted["workers"] >= 4
    # A worker renews twice in a lifetime at most.
    assert counted["token_requests"] < 5 * 12
