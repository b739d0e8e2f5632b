"""Threads for decoding and hashing that a Ctrl-C does not leave behind."""
import collections
import concurrent.futures
import contextlib
import os
import signal
import threading

import numpy as np

from .. import _core

#: More than this is taken for a mistake.
MOST_THREADS = 1024


def available_cpus():
    """Number of CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads):
    """A number of threads; for None all that may be used, at most OMP_NUM_THREADS.

    That variable is how joblib, Dask and batch systems tell a worker its share.
    """
    if threads is None:
        limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        available = _core.available_threads()
        return min(available, max(1, int(limit))) if limit.isdigit() else available
    if isinstance(threads, bool) or not isinstance(
            threads, (int, np.integer)) or not 1 <= threads <= MOST_THREADS:
        raise ValueError("threads must be a whole number from 1 to {}, or None, not {!r}".format(
            MOST_THREADS, threads))
    return int(threads)


@contextlib.contextmanager
def deferred_interrupts():
    """Let a Ctrl-C that comes within the block count only when the block has ended.

    For short steps that would leave something half done. Only the main
    thread ever sees a Ctrl-C, so elsewhere nothing is changed.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])


def result_of(future):
    """What ``future.result()`` gives, for a thread that a Ctrl-C may come to.

    A Ctrl-C that falls into the future's own locking becomes a RuntimeError, or
    leaves the lock held, and with it whoever works for the future.

    Parameters
    ----------
    future : concurrent.futures.Future
    """
    ended = threading.Lock()
    ended.acquire()
    with deferred_interrupts():
        if future.done():
            return future.result()
        future.add_done_callback(lambda _: ended.release())
    ended.acquire()
    with deferred_interrupts():
        return future.result()


def as_completed(futures):
    """Each future as it ends, for a thread that a Ctrl-C may come to.

    In place of that of concurrent.futures, whose waiting is no safer than ``future.result()``.

    Parameters
    ----------
    futures : list of concurrent.futures.Future

    Yields
    ------
    concurrent.futures.Future
    """
    arrived, news = collections.deque(), threading.Lock()
    news.acquire()

    def arrive(future):
        arrived.append(future)
        with contextlib.suppress(RuntimeError):  # the last news have not been taken yet
            news.release()

    with deferred_interrupts():
        for future in futures:
            future.add_done_callback(arrive)
    for _ in futures:
        while not arrived:
            news.acquire()
        yield arrived.popleft()


class ThreadPool(object):
    """Threads that have ended when the block is left, by Ctrl-C too; what has not begun is dropped.

    Parameters
    ----------
    threads : int
    """

    def __init__(self, threads):
        self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=threads)
        self._futures = collections.deque()

    def submit(self, function, *arguments):
        """Call `function` in a thread.

        Returns
        -------
        concurrent.futures.Future
        """
        # An executor interrupted as it starts a thread forgets it.
        with deferred_interrupts():
            while self._futures and self._futures[0].done():
                self._futures.popleft()
            self._futures.append(self._executor.submit(function, *arguments))
            return self._futures[-1]

    def map(self, function, items, count=None):
        """The result of `function` for each of `items`, in order; raises what it raises.

        Parameters
        ----------
        function : callable
        items : iterable
        count : callable, optional
            Called after each.

        Returns
        -------
        list
        """
        results = []
        for future in [self.submit(function, item) for item in items]:
            results.append(result_of(future))
            if count is not None:
                count()
        return results

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            self._end()
        except KeyboardInterrupt:  # it may have come before it was deferred
            self._end()
            raise

    def _end(self):
        with deferred_interrupts():
            for future in self._futures:
                future.cancel()
            if self._executor is not None:
                self._executor.shutdown()  # what was cancelled never runs: waits for a call a thread
            # Threads are released here: a traceback that keeps this object would leave them to some
            # later collection, in whose callbacks Python loses a Ctrl-C.
            self._executor = None


def one_blas_thread():
    """A block in which NumPy and SciPy compute on one thread.

    Of the many small products of a decomposition the threads of BLAS make
    nothing faster, and where the processors have other work they make each
    wait for its time slice.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # comes with scikit-learn 0.23
        return contextlib.suppress()
    return threadpool_limits(1, user_api="blas")
