"""Features on disk, so that no photograph goes through the same backbone twice.

The store is SQLite, from Python's own library: it is there on every Python,
several processes may write at once, a process killed at any moment leaves the
old state or the new, and its test suite makes every allocation and every write
fail. Keys are hashes of what decides the features, so nothing stale is ever
found; values are plain float32 bytes, never pickled.
"""
import collections
import hashlib
import os
import struct
import sys
import time
import zlib

import numpy as np

from ..errors import GearTransferError
from .arguments import check_path, check_whole_number
from .caller import warn_caller
from .regular_file import open_regular
from .store import STORE_ERRORS, SqliteStore, is_damage, is_held

#: Raise it whenever photographs are prepared in another way, or the core computes other numbers
#: from them, so that features of before are not found again.
FEATURES_VERSION = 5

DEFAULT_LIMIT = 1 << 30  # bytes of features

_CHECKSUM = 4  # bytes behind each vector
_FILE = "features.sqlite3"
_TABLES = collections.OrderedDict(
    (name, "CREATE TABLE {} (key BLOB PRIMARY KEY, {} BLOB NOT NULL, used REAL NOT NULL)".format(
        name, value)) for name, value in [("features", "vector"), ("choices", "text")])
_MOST_CHOICES = 100  # those used longest ago go first
_LONGEST_CHOICE = 1 << 20  # bytes
_AT_ONCE = 500  # keys of one statement; SQLite's own limit was 999 for long


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

    Any failure of the store (read-only folder, full disk, damaged file, another process that
    holds it for seconds) is warned of once; from then on nothing is found and nothing is kept,
    by no cache of this process on that file: for a minute, after which it is looked at again, or
    where it is damaged for good.

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

    @property
    def path(self):
        """The file, str."""
        return os.path.join(self.folder, _FILE)

    @property
    def _store(self):
        return SqliteStore(self.path, _TABLES.items())

    def _guarded(self, work, writing=False):
        """Whether `work` was done; a failure of the store is one warning."""
        store = self._store
        if store.is_resting(writing):
            return False
        try:
            store.transact(work, writing)
            return True
        except STORE_ERRORS as error:
            if store.rest(error, writing):
                warn_caller("the feature cache {} cannot be used ({}); going on without it".format(
                    self.path, _reason(error)), CacheWarning)
            return False

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
        found, keys = {}, list(set(keys))
        now = time.time()

        def look(execute):
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start:start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                for key, value in execute(
                        "SELECT key, vector FROM features WHERE key IN ({}) AND "
                        "LENGTH(vector) = {}".format(marks, 4 * length + _CHECKSUM), some):
                    if _is_whole(key, value):
                        found[key] = np.frombuffer(value[:-_CHECKSUM], dtype="<f4")
                execute("UPDATE features SET used = ? WHERE key IN ({})".format(marks),
                        [now] + some)

        if keys:
            self._guarded(look)
        return found

    def put(self, keys, vectors):
        """Keep vectors, in one transaction.

        Parameters
        ----------
        keys : sequence of bytes
        vectors : ndarray of float32, shape (n, length)

        Returns
        -------
        bool
            Whether they are kept.
        """
        now = time.time()
        rows = [(key, _with_checksum(key, vector.astype("<f4").tobytes()), now)
                for key, vector in zip(keys, vectors)]

        def write(execute):
            for start in range(0, len(rows), _AT_ONCE):
                execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                        rows[start:start + _AT_ONCE], many=True)

        return not rows or self._guarded(write, writing=True)

    def get_choice(self, key):
        """The text that `put_choice` kept, or None.

        Parameters
        ----------
        key : bytes

        Returns
        -------
        str or None
        """
        found = []

        def look(execute):
            row = execute("SELECT text FROM choices WHERE key = ? AND LENGTH(text) < ?",
                          [key, _LONGEST_CHOICE]).fetchone()
            if row is not None and _is_whole(key, row[0]):
                found.append(row[0][:-_CHECKSUM].decode("utf-8"))

        self._guarded(look)
        return found[0] if found else None

    def put_choice(self, key, text):
        """Keep a short text: what was decided on the photographs that the key stands for.

        Parameters
        ----------
        key : bytes
        text : str
        """
        def write(execute):
            execute("INSERT OR REPLACE INTO choices VALUES (?, ?, ?)",
                    [key, _with_checksum(key, text.encode("utf-8")), time.time()])
            execute("DELETE FROM choices WHERE key NOT IN "
                    "(SELECT key FROM choices ORDER BY used DESC LIMIT ?)", [_MOST_CHOICES])

        self._guarded(write, writing=True)

    def trim(self):
        """Drop the vectors used longest ago until the rest keep to the limit."""
        def drop(execute):
            total = execute("SELECT COALESCE(SUM(LENGTH(vector)), 0) FROM features").fetchone()[0]
            dropped = []
            if total > self.limit:
                for key, size in execute("SELECT key, LENGTH(vector) FROM features ORDER BY used"):
                    if total <= self.limit:
                        break
                    dropped.append((key,))
                    total -= size or 0  # a damaged file may hold what the table forbids
            for start in range(0, len(dropped), _AT_ONCE):
                execute("DELETE FROM features WHERE key = ?", dropped[start:start + _AT_ONCE],
                        many=True)

        self._guarded(drop, writing=True)

    def info(self):
        """What the cache holds; no file is made where there is none.

        Returns
        -------
        OrderedDict
            ``path``, ``bytes`` on disk, ``vectors``, ``vector_bytes``, ``choices`` of precision,
            ``limit``, and when the vector used longest ago and that used last were used, in
            seconds since 1970, or None.

        Raises
        ------
        GearTransferError
            The file cannot be used.
        """
        def count(execute):
            row = execute("SELECT COUNT(*), COALESCE(SUM(LENGTH(vector)), 0), MIN(used), MAX(used) "
                          "FROM features").fetchone()
            return row[:2] + execute("SELECT COUNT(*) FROM choices").fetchone() + row[2:]

        exists = os.path.lexists(self.path)
        row = self._insist(count) if exists else (0, 0, 0, None, None)
        return collections.OrderedDict(
            [("path", self.path), ("bytes", os.path.getsize(self.path) if exists else 0)]
            + list(zip(("vectors", "vector_bytes", "choices"), row)) + [("limit", self.limit)]
            + list(zip(("first_used", "last_used"), row[3:])))

    def clear(self):
        """Remove everything, and give its room back to the disk.

        Raises
        ------
        GearTransferError
            The file is in use, or cannot be removed.
        """
        def empty(execute):
            for name in _TABLES:
                execute("DELETE FROM {}".format(name))

        if not os.path.lexists(self.path):
            return
        try:
            self._insist(empty, self._store.shrink)
        except _Damaged:
            try:
                self._store.remove()
            except OSError as error:
                raise GearTransferError("the feature cache {} is damaged and cannot be removed "
                                        "({})".format(self.path, _reason(error))) from error

    def _insist(self, work, then=None):
        """What `work` gives; a failure of the store is an error."""
        store = self._store
        try:
            result = store.transact(work)
            if then is not None:
                then()
            return result
        except STORE_ERRORS as error:
            raise (_Damaged if is_damage(error) else GearTransferError)(
                "the feature cache {} cannot be used ({})".format(self.path, _reason(error))) from error

    def __repr__(self):
        return "FeatureCache({!r}, limit={})".format(self.folder, self.limit)


class _Damaged(GearTransferError):
    """The file is no feature cache, or a damaged one."""


def _reason(error):
    """What keeps a store from being used, in words."""
    text = str(error)
    if is_held(error):
        return "another process holds it: {}".format(text)
    return "a damaged file: {}".format(text) if text == "interrupted" else text


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
