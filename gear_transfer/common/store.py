"""Transactions on an SQLite file that others may hold, have damaged, or replaced by something else."""
import contextlib
import itertools
import os
import sqlite3
import threading
import time

from .regular_file import NotRegularError, check_regular

WAIT = 5.0  # seconds to wait for another process that writes
SHORT_WAIT = 0.2  # the same, where it was waited for in vain before
REST = 60.0  # seconds for which a file that cannot be used is left alone
_STEP = 0.02  # seconds between two attempts; SQLite's own waiting hears no Ctrl-C
_STEPS = 10000  # of SQLite's virtual machine, after which a statement's work is looked at
_BESIDE = ("", "-journal", "-wal", "-shm")  # what SQLite may open

#: What a store raises where it cannot be used.
STORE_ERRORS = (OSError, sqlite3.Error, MemoryError, OverflowError, UnicodeError)


class _NotAcrossForks(object):
    """Keeps a fork from falling into a transaction: SQLite's locks would be held in the child for ever.

    Before Python 3.7 nothing can make a fork wait; then the child goes without the store.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._owner, self._is_open = os.getpid(), False
        register = getattr(os, "register_at_fork", None)
        if register is not None:
            register(before=self._lock.acquire, after_in_parent=self._lock.release,
                     after_in_child=self._lock.release)

    def __enter__(self):
        if os.getpid() != self._owner:
            if self._is_open:
                raise OSError("this process was forked while another thread used it")
            self._owner = os.getpid()
        self._lock.acquire()
        self._is_open = True

    def __exit__(self, *exception):
        self._is_open = False
        self._lock.release()


_forks = _NotAcrossForks()


class SqliteStore(object):
    """Transactions on one file.

    Parameters
    ----------
    path : str
    tables : sequence of (str, str)
        Name and schema of each table, which are all that the file may hold.
    """

    # By path and whether it is to be written to, for all stores of this process: until when it is
    # left alone and, where it is damaged, which file that was.
    _resting = {}

    def __init__(self, path, tables):
        self.path = path
        self._tables = list(tables)

    def is_resting(self, writing=False):
        """Whether the file is left alone, for it could not be used shortly before, or is damaged."""
        until, damaged = self._resting.get((self.path, writing), (0.0, None))
        return time.monotonic() < until and (damaged is None or damaged == _identity(self.path))

    def rest(self, error, writing=False):
        """Leave the file alone for a while; a damaged one as long as it is there.

        Parameters
        ----------
        error : Exception
            Which kept it from being used.
        writing : bool
            Whether it was written to. What is on a full disk can still be read.

        Returns
        -------
        bool
            Whether that is news: it could be used before, or was not looked at yet.
        """
        is_news = (self.path, writing) not in self._resting
        rest = (float("inf"), _identity(self.path)) if is_damage(error) else (
            time.monotonic() + REST, None)
        is_full = writing and not (is_damage(error) or is_held(error)
                                   or isinstance(error, NotRegularError))
        for kind in (True,) if is_full else (False, True):
            self._resting[self.path, kind] = rest
        return is_news

    def transact(self, work, writing=False):
        """Do something to the file whole or not at all, waiting for others that write to it.

        Parameters
        ----------
        work : callable
            Called with a function that executes a statement, as `sqlite3.Connection.execute`, and
            gives the rows; once more where the file turns out to be in use.
        writing : bool
            Whether it adds anything.

        Returns
        -------
        object
            What `work` returned.

        Raises
        ------
        OSError, sqlite3.Error, MemoryError, OverflowError, UnicodeError
            The file cannot be used.
        """
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        deadline = time.monotonic() + (
            SHORT_WAIT if (self.path, writing) in self._resting else WAIT)
        while True:
            try:
                result = self._attempt(work)
                self._resting.pop((self.path, writing), None)
                return result
            except sqlite3.OperationalError as error:
                if not is_held(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_STEP)

    def _attempt(self, work):
        for suffix in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                check_regular(os.stat(self.path + suffix).st_mode)
        # Opened anew each time: a connection must not cross a fork.
        with _forks, contextlib.closing(sqlite3.connect(
                self.path, timeout=0, isolation_level=None)) as connection:
            size = os.path.getsize(self.path)

            def execute(statement, values=(), many=False):
                connection.set_progress_handler(_work_limit(size), _STEPS)
                return (connection.executemany if many else connection.execute)(statement, values)

            execute("BEGIN IMMEDIATE")
            self._check_schema(execute)
            result = work(execute)
            execute("COMMIT")
            return result

    def _check_schema(self, execute):
        """Refuse a file whose tables are not ours: views and triggers could keep us busy for ever."""
        for _, schema in self._tables:
            execute(schema.replace("TABLE", "TABLE IF NOT EXISTS", 1))
        found = execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        wanted = [("index", "sqlite_autoindex_{}_1".format(name), None) for name, _ in self._tables]
        wanted += [("table",) + table for table in self._tables]
        if sorted(found, key=str) != sorted(wanted, key=str):
            raise sqlite3.DatabaseError("not a feature cache, or a damaged one")

    def shrink(self):
        """Give the room of what was removed back to the disk."""
        with _forks, contextlib.closing(sqlite3.connect(
                self.path, timeout=0, isolation_level=None)) as connection:
            connection.execute("VACUUM")

    def remove(self):
        """Remove the file and what SQLite keeps beside it."""
        for suffix in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.path + suffix)
        for writing in (False, True):
            self._resting.pop((self.path, writing), None)


def is_held(error):
    """Whether an error says that another process holds the file."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def is_damage(error):
    """Whether an error says that the file itself is wrong, not what it lies on or who holds it."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError)


def _identity(path):
    """What tells a file from another under the same name, None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_ctime


def _work_limit(file_size):
    """A progress handler that ends a statement which does more than the file can give reason for.

    Pages of a damaged file may name each other in circles.
    """
    calls = (1000000 + file_size // 4) // _STEPS
    # Not a function in Python: an interrupt that fell into it would be lost in SQLite.
    return itertools.chain(itertools.repeat(0, calls), itertools.repeat(1)).__next__
