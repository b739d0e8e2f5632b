"""The ``.keras`` file of Keras 3: a zip archive of a configuration and a file of weights.

Three members are read, by exact name, each after a look at its size; nothing is extracted, and no
other member is looked at.
"""
import os
import zipfile
import zlib

from ...common.regular_file import open_regular
from ...errors import WeightsError
from ..on_disk import private_file

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

#: Most bytes of the list of members, whose entries cost more in memory than in the file.
LARGEST_LIST = 1 << 20

#: Most bytes of the members that are text.
LARGEST_CONFIG = 16 << 20
LARGEST_METADATA = 1 << 16

#: Weights hardly get smaller when they are compressed: they may have twice the bytes of the file and
#: these.
SPARE = 48 << 20

_CHUNK = 1 << 20


class _Bounded(object):
    """A file no part of which is read at once that is larger than the list of members may be."""

    def __init__(self, stream, size):
        self._stream = stream
        self._size = size
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, lambda: True

    def read(self, count=-1):
        if count is None or count < 0:
            count = max(self._size - self._stream.tell(), 0)
        if count > LARGEST_LIST:
            raise zipfile.BadZipFile("a list of members of {} bytes".format(count))
        return self._stream.read(count)


class KerasArchive(object):
    """A ``.keras`` file, open for reading; a context manager.

    Parameters
    ----------
    path : str

    Raises
    ------
    WeightsError
        If the file is damaged or not from Keras.
    """

    def __init__(self, path):
        self.path = str(path)
        self._stream = open_regular(self.path)
        try:
            self.size = os.fstat(self._stream.fileno()).st_size
            self._zip = self._open()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._stream.close()

    def fail(self, reason):
        """Raise WeightsError with the name of the file."""
        raise WeightsError("{}: {}".format(self.path, reason))

    def _open(self):
        try:
            return zipfile.ZipFile(_Bounded(self._stream, self.size))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            self.fail("a zip archive that is cut short or damaged ({}); save the model again with "
                      "model.save(\"model.keras\")".format(error))

    def _member(self, name, largest, what):
        found = [info for info in self._zip.infolist() if info.filename == name]
        if not found:
            return None
        if len(found) > 1:
            self.fail("has two members with the name '{}'".format(name))
        info = found[0]
        if info.flag_bits & 1:
            self.fail("its member '{}' is encrypted".format(name))
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            self.fail("its member '{}' is compressed with method {}, only stored and deflated ones "
                      "are read".format(name, info.compress_type))
        if info.file_size > largest or info.compress_size > self.size:
            self.fail("its member '{}' claims {} bytes, too many for {}".format(
                name, info.file_size, what))
        return info

    def _chunks(self, info):
        """The bytes of a member, part by part; no more than it claims."""
        left = info.file_size
        try:
            with self._zip.open(info) as stream:
                while True:
                    chunk = stream.read(min(_CHUNK, left + 1))
                    if not chunk:
                        break
                    left -= len(chunk)
                    if left < 0:
                        self.fail("its member '{}' has more bytes than it claims".format(
                            info.filename))
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError,
                NotImplementedError) as error:
            self.fail("its member '{}' is damaged ({})".format(info.filename, error))
        if left:
            self.fail("its member '{}' is cut short".format(info.filename))

    def names(self):
        """Names of all members, list of str."""
        return self._zip.namelist()

    def text(self, name, largest):
        """A member that is text, bytes, or None where there is none."""
        info = self._member(name, largest, "a text")
        return None if info is None else b"".join(self._chunks(info))

    def weights(self):
        """The file of weights as a file of our own, open for reading."""
        largest = 2 * self.size + SPARE
        info = self._member(WEIGHTS, largest, "an archive of {}".format(self.size))
        if info is None:
            self.fail("has no member '{}': no model of Keras 3, or one without weights".format(
                WEIGHTS))
        try:
            return private_file(self._chunks(info))
        except OSError as error:
            self.fail("its weights cannot be copied to a temporary file ({})".format(error))
