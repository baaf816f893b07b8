"""Tasks under a limit: their threads serve again, and one that is left behind keeps nobody waiting."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from azpg_backend.diagnosis import bounded
from azpg_backend.diagnosis.bounded import Late, Task, side_by_side


def test_one_after_another_needs_one_thread() -> None:
    assert len({Task(threading.get_ident, "test").result(30) for _ in range(50)}) == 1


def test_side_by_side_each_has_its_own() -> None:
    barrier = threading.Barrier(20)

    def visit(number: int) -> int:
        barrier.wait(30)
        return threading.get_ident()

    assert len(set(side_by_side(visit, range(20), 30))) == 20


def test_a_task_in_a_task() -> None:
    """As each alias has a worker, which gives each step to a thread, which gives each host to one."""

    def deep(levels: int) -> int:
        return 1 + Task(lambda: deep(levels - 1), "test").result(30) if levels else 0

    assert deep(20) == 20


def test_one_that_is_left_behind_is_not_given_the_next_task() -> None:
    gate = threading.Event()
    left = Task(lambda: (gate.wait(30), threading.get_ident())[1], "test-left")
    with pytest.raises(Late):
        left.result(0)
    others = {Task(threading.get_ident, "test").result(30) for _ in range(5)}
    assert any(thread.name == "test-left" for thread in threading.enumerate())
    gate.set()
    assert left.result(30) not in others
    # Whoever asks again gets the same.
    assert left.result(0) == left.result(30)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_an_error_is_raised_where_the_result_is_asked_for(error: BaseException) -> None:
    def fail() -> None:
        raise error

    task = Task(fail, "test")
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            task.result(30)
        assert caught.value is error
    assert Task(lambda: 1, "test").result(30) == 1


def test_an_idle_thread_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_PATIENCE", 0.01)
    thread = Task(threading.current_thread, "test").result(30)
    thread.join(30)
    assert not thread.is_alive()
    assert Task(lambda: 2, "test").result(30) == 2


def test_many_at_once_while_threads_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task given to a thread that is about to leave is not lost."""
    monkeypatch.setattr(bounded, "_PATIENCE", 0.0002)

    def visit(number: int) -> int:
        time.sleep(number % 3 / 5000)
        return number

    for _ in range(60):
        assert side_by_side(visit, range(20), 30) == list(range(20))


def test_what_a_task_was_made_from_is_let_go() -> None:
    class Large:
        pass

    import weakref

    large = Large()
    seen = weakref.ref(large)
    task = Task(lambda large=large: None, "test")  # type: ignore[misc]
    del large
    task.result(30)
    for _ in range(300):
        if seen() is None:
            break
        time.sleep(0.1)
    assert seen() is None


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    Task(lambda: None, "test").result(30)
    child = multiprocessing.get_context("fork").Process(target=lambda: Task(lambda: None, "test").result(30))
    child.start()
    child.join(60)
    assert child.exitcode == 0
