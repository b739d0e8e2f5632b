"""Threads that end with their block, and a Ctrl-C that waits for the end of a short step."""
import os
import signal
import threading
import time

import pytest

from gear_transfer import threads
from gear_transfer.threads import ThreadPool, available_cpus, deferred_interrupts


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
