"""Threads that end with their block, and a Ctrl-C that waits for the end of a short step."""
import concurrent.futures
import os
import signal
import threading
import time

import pytest

from gear_transfer.common import threads
from gear_transfer.common.threads import (ThreadPool, as_completed, available_cpus,
                                          deferred_interrupts, result_of)

pytestmark = pytest.mark.every_python


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_available_cpus(monkeypatch):
    assert 1 <= available_cpus() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cpus() == 1


def test_interrupt_waits_for_the_end_of_the_step():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred_interrupts():
            interrupt()
            interrupt()
            done.append(1)
    assert done == [1]
    with pytest.raises(KeyboardInterrupt):  # as before
        interrupt()
        time.sleep(5)


def test_interrupt_waits_for_an_error_as_well():
    with pytest.raises(KeyboardInterrupt) as caught:
        with deferred_interrupts():
            interrupt()
            raise ValueError("nothing was done")
    assert isinstance(caught.value.__context__, ValueError)


def test_ignored_interrupts_stay_ignored():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupts():
            interrupt()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def test_other_threads_change_nothing():
    handlers = []

    def look():
        with deferred_interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize("outcome", ["result", "error"])
@pytest.mark.parametrize("waits", [False, True])
def test_result_of_a_future(outcome, waits):
    def work():
        if waits:
            time.sleep(0.05)
        return {"result": 3}[outcome]

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        future = executor.submit(work)
        if not waits:
            concurrent.futures.wait([future])
        if outcome == "result":
            assert result_of(future) == 3
        else:
            with pytest.raises(KeyError):
                result_of(future)


def test_futures_as_they_end():
    futures = [concurrent.futures.Future() for _ in range(4)]
    futures[2].set_result("first")
    ending = as_completed(futures)
    assert next(ending) is futures[2]
    futures[3].cancel()
    futures[0].set_exception(KeyError("third"))
    assert [next(ending), next(ending)] == [futures[3], futures[0]]
    timer = threading.Timer(0.05, futures[1].set_result, ["last"])
    timer.start()
    assert list(ending) == [futures[1]]
    timer.join()


@pytest.fixture
def thirty_seconds():
    """For what might wait for ever."""
    def too_long(number, frame):
        raise AssertionError("waits for ever")

    handler = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)


@pytest.mark.usefixtures("thirty_seconds")
@pytest.mark.parametrize("wait", [
    result_of, lambda future: [result_of(each) for each in as_completed([future])]])
@pytest.mark.parametrize("method", ["__enter__", "__exit__"])
def test_interrupt_in_the_lock_of_a_future(monkeypatch, method, wait):
    """Raised there it would be lost, or the lock would be held for ever."""
    inner, main = getattr(threading.Condition, method), threading.main_thread()

    def interrupted(condition, *arguments):
        result = inner(condition, *arguments)
        if threading.current_thread() is main:
            interrupt()
        return result

    running = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        with ThreadPool(1) as pool:
            future = pool.submit(time.sleep, 0.2)
            monkeypatch.setattr(threading.Condition, method, interrupted)
            wait(future)
            monkeypatch.undo()
            interrupt()
    monkeypatch.undo()
    assert threading.enumerate() == running and future.done()


def test_results_in_order_and_errors():
    with ThreadPool(3) as pool:
        assert pool.map(lambda x: x * x, range(20)) == [x * x for x in range(20)]
        with pytest.raises(ZeroDivisionError):
            pool.map(lambda x: 1 // x, [1, 0, 2])


def test_interrupt_as_a_thread_starts(monkeypatch):
    start = threading.Thread.start

    def start_interrupted(thread):
        interrupt()
        start(thread)

    running = threading.enumerate()
    monkeypatch.setattr(threading.Thread, "start", start_interrupted)
    with pytest.raises(KeyboardInterrupt):
        with ThreadPool(2) as pool:
            pool.submit(time.sleep, 0.1)
    assert threading.enumerate() == running


def test_interrupt_before_the_end_is_deferred(monkeypatch):
    """The block has ended, and nothing has been done about its threads yet."""
    running, calls = threading.enumerate(), []

    def interrupted():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return deferred_interrupts()

    with pytest.raises(KeyboardInterrupt):
        with ThreadPool(2) as pool:
            pool.submit(time.sleep, 0.1)
            monkeypatch.setattr(threads, "deferred_interrupts", interrupted)
    assert len(calls) == 2 and threading.enumerate() == running


def test_what_has_not_begun_is_dropped():
    running = threading.enumerate()
    begun = []

    def work():
        begun.append(1)
        time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt):
        with ThreadPool(2) as pool:
            for _ in range(100):
                pool.submit(work)
            raise KeyboardInterrupt
    assert len(begun) < 100 and threading.enumerate() == running
