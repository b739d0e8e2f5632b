"""Features on disk, so that no photograph goes through the same backbone twice.

The store is SQLite, from Python's own library: it is there on every Python,
several processes may write at once, a process killed at any moment leaves the
old state or the new, and its test suite makes every allocation and every write
fail. Keys are hashes of what decides the features, so nothing stale is ever
found; values are plain float32 bytes, never pickled.
"""
import collections
import contextlib
import hashlib
import itertools
import os
import sqlite3
import struct
import sys
import time
import zlib

import numpy as np

from .arguments import check_path, check_whole_number
from .caller import warn_caller
from .regular_file import open_regular

#: Raise it whenever photographs are prepared in another way, or the core computes other numbers
#: from them, so that features of before are not found again.
FEATURES_VERSION = 5

DEFAULT_LIMIT = 1 << 30  # bytes of features

_CHECKSUM = 4  # bytes behind each vector
_BUSY = 30.0  # seconds to wait for another process that writes
_FILE = "features.sqlite3"
_TABLES = collections.OrderedDict(
    (name, "CREATE TABLE {} (key BLOB PRIMARY KEY, {} BLOB NOT NULL, used REAL NOT NULL)".format(
        name, value)) for name, value in [("features", "vector"), ("choices", "text")])
_MOST_CHOICES = 100  # those used longest ago go first
_LONGEST_CHOICE = 1 << 20  # bytes
_STEPS = 10000  # of SQLite's virtual machine, after which a statement's work is looked at
_MOST_VARIABLES = 500  # of one statement; SQLite's own limit was 999 for long


class CacheWarning(UserWarning):
    """The feature cache cannot be used; work goes on without it."""


def default_folder():
    """The platform's folder for caches of this program, str.

    Raises
    ------
    OSError
        If this user has no home folder and nothing else names a place.
    """
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else os.path.join(home, ".cache")  # as the standard says
    if not os.path.isabs(base):
        raise OSError("this user has no home folder")
    return os.path.join(base, "gear_transfer")


def content_hash(path):
    """SHA-256 of a regular file's content, bytes; None where it cannot be read."""
    try:
        with open_regular(path) as stream:
            return stream_hash(stream)
    except (OSError, ValueError):  # a text may be none that a file can be called by
        return None


def stream_hash(stream):
    """SHA-256 of what is left of an open file, bytes."""
    digest = hashlib.sha256()
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    return digest.digest()


class FeatureCache(object):
    """Feature vectors by key, in one SQLite file.

    Any failure of the store (read-only folder, full disk, damaged file) is
    warned of once; from then on nothing is found and nothing is kept.

    Parameters
    ----------
    folder : str or Path, optional
        Made if need be, for this user only. Default is the platform's.
    limit : int
        Bytes of features to keep; those used longest ago go first.
    """

    def __init__(self, folder=None, limit=DEFAULT_LIMIT):
        self.folder = default_folder() if folder is None else check_path("folder", folder)
        self.limit = check_whole_number("limit", limit, 0)
        self._broken = False

    @property
    def path(self):
        """The file, str."""
        return os.path.join(self.folder, _FILE)

    @contextlib.contextmanager
    def _connected(self):
        """A connection for one transaction.

        Opened anew each time: a connection must not cross a fork.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, timeout=_BUSY)) as connection:
            connection.set_progress_handler(_work_limit(os.path.getsize(self.path)), _STEPS)
            with connection:
                for schema in _TABLES.values():
                    connection.execute(schema.replace("TABLE", "TABLE IF NOT EXISTS", 1))
                _check_schema(connection)
                yield connection

    @contextlib.contextmanager
    def _guarded(self):
        """Turn a failure of the store into one warning."""
        try:
            yield
        except (OSError, sqlite3.Error, MemoryError, OverflowError, UnicodeError) as error:
            self._broken = True
            warn_caller("the feature cache {} cannot be used ({}); going on without it".format(
                self.path, error), CacheWarning)

    def get(self, keys, length):
        """The vectors that are there.

        Parameters
        ----------
        keys : sequence of bytes
        length : int
            Numbers in a vector; one of another length counts as missing.

        Returns
        -------
        dict of bytes to ndarray of float32, shape (length,)
        """
        found = {}
        if self._broken or not keys:
            return found
        keys = list(set(keys))
        now = time.time()
        with self._guarded(), self._connected() as connection:
            for start in range(0, len(keys), _MOST_VARIABLES):
                some = keys[start:start + _MOST_VARIABLES]
                marks = ",".join("?" * len(some))
                for key, value in connection.execute(
                        "SELECT key, vector FROM features WHERE key IN ({}) AND "
                        "LENGTH(vector) = {}".format(marks, 4 * length + _CHECKSUM), some):
                    if _is_whole(key, value):
                        found[key] = np.frombuffer(value[:-_CHECKSUM], dtype="<f4")
                connection.execute("UPDATE features SET used = ? WHERE key IN ({})".format(marks),
                                   [now] + some)
        return found

    def put(self, keys, vectors):
        """Keep vectors, in one transaction.

        Parameters
        ----------
        keys : sequence of bytes
        vectors : ndarray of float32, shape (n, length)
        """
        if self._broken or not keys:
            return
        now = time.time()
        rows = [(key, _with_checksum(key, vector.astype("<f4").tobytes()), now)
                for key, vector in zip(keys, vectors)]
        with self._guarded(), self._connected() as connection:
            connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    def get_choice(self, key):
        """The text that `put_choice` kept, or None.

        Parameters
        ----------
        key : bytes

        Returns
        -------
        str or None
        """
        if self._broken:
            return None
        with self._guarded(), self._connected() as connection:
            row = connection.execute("SELECT text FROM choices WHERE key = ? AND LENGTH(text) < ?",
                                     [key, _LONGEST_CHOICE]).fetchone()
            if row is not None and _is_whole(key, row[0]):
                return row[0][:-_CHECKSUM].decode("utf-8")
        return None

    def put_choice(self, key, text):
        """Keep a short text: what was decided on the photographs that the key stands for.

        Parameters
        ----------
        key : bytes
        text : str
        """
        if self._broken:
            return
        with self._guarded(), self._connected() as connection:
            connection.execute("INSERT OR REPLACE INTO choices VALUES (?, ?, ?)",
                               [key, _with_checksum(key, text.encode("utf-8")), time.time()])
            connection.execute("DELETE FROM choices WHERE key NOT IN "
                               "(SELECT key FROM choices ORDER BY used DESC LIMIT ?)",
                               [_MOST_CHOICES])

    def trim(self):
        """Drop the vectors used longest ago until the rest keep to the limit."""
        if self._broken:
            return
        with self._guarded(), self._connected() as connection:
            total = connection.execute(
                "SELECT COALESCE(SUM(LENGTH(vector)), 0) FROM features").fetchone()[0]
            if total <= self.limit:
                return
            dropped = []
            for key, size in connection.execute(
                    "SELECT key, LENGTH(vector) FROM features ORDER BY used"):
                if total <= self.limit:
                    break
                dropped.append((key,))
                total -= size or 0  # a damaged file may hold what the table forbids
            connection.executemany("DELETE FROM features WHERE key = ?", dropped)

    def clear(self):
        """Remove everything."""
        with self._guarded(), self._connected() as connection:
            connection.execute("DELETE FROM features")
            connection.execute("DELETE FROM choices")

    def __repr__(self):
        return "FeatureCache({!r}, limit={})".format(self.folder, self.limit)


def _check_schema(connection):
    """Refuse a file whose tables are not ours: views and triggers could keep us busy for ever."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    wanted = [("index", "sqlite_autoindex_{}_1".format(name), None) for name in _TABLES]
    if sorted(found, key=str) != sorted(wanted + [("table",) + table for table in _TABLES.items()],
                                        key=str):
        raise sqlite3.DatabaseError("not a feature cache, or a damaged one")


def _work_limit(file_size):
    """A progress handler that ends a statement which does more than the file can give reason for.

    Pages of a damaged file may name each other in circles.
    """
    calls = (1000000 + file_size // 4) // _STEPS
    # Not a function in Python: an interrupt that fell into it would be lost in SQLite.
    return itertools.chain(itertools.repeat(0, calls), itertools.repeat(1)).__next__


def _with_checksum(key, vector):
    """The bytes that are kept: the vector, and what tells a damaged or misplaced one."""
    return vector + struct.pack("<I", zlib.crc32(key + vector) & 0xffffffff)


def _is_whole(key, value):
    """Whether a row is as it was written; a damaged file may hold any type."""
    return (isinstance(key, bytes) and isinstance(value, bytes)
            and value == _with_checksum(key, value[:-_CHECKSUM]))


def open_cache(setting):
    """The cache that a parameter ``cache=`` asks for.

    Parameters
    ----------
    setting : bool, str, Path, FeatureCache or None
        True for the default folder; False or None for no cache; a folder; or
        a cache.

    Returns
    -------
    FeatureCache or None
    """
    if setting is None or setting is False:
        return None
    if setting is True:
        try:
            return FeatureCache()
        except OSError as error:
            warn_caller("there is no place for the feature cache ({}); going on without it, "
                        "cache=folder names one".format(error), CacheWarning)
            return None
    if isinstance(setting, FeatureCache):
        return setting
    try:
        return FeatureCache(check_path("cache", setting))
    except TypeError:
        raise ValueError("cache must be True, False, a folder or a FeatureCache, not {!r}".format(
            setting)) from None


def feature_key(content, settings):
    """Key of one photograph's features.

    Parameters
    ----------
    content : bytes
        Hash of the photograph's file.
    settings : str
        All else that decides the features.

    Returns
    -------
    bytes
    """
    return hashlib.sha256(content + settings.encode("utf-8")).digest()
