"""The file of a JPEG as Pillow reads it, which ends where the file is made to take long."""
from ..errors import ImageError

_LARGEST = 1 << 28  # bytes; the pixels that are allowed have less without compression

# Few bytes of a JPEG can be dear: each scan goes over the whole picture, Pillow joins the pieces of
# Exif data one by one, and goes through the header in steps of a few bytes. Encoders write about 10
# scans, one piece and headers of 25 steps; 20,000 are enough for 256 MiB in parts of full size.
_SCAN = b"\xff\xda\0"
_EXIF = b"Exif\0\0"
_MOST_DEAR_PARTS = 100
_MOST_STEPS = 1000000


class JpegFile(object):
    """What Pillow asks a file for; counts what is dear in a JPEG as it comes by.

    So of a file that is opened and not decoded the header alone is read, and of one that is decoded
    each byte once.

    Parameters
    ----------
    stream : file object
        Read from its beginning; closing it is left to the caller.
    name : str
        For messages.
    size : int
        Bytes of the file.

    Raises
    ------
    ImageError
        If the file is larger than any JPEG; from `read`, if too much in it is dear.
    """

    def __init__(self, stream, name, size):
        if size > _LARGEST:
            raise ImageError(name, "it is a JPEG of more than {} MiB".format(_LARGEST >> 20))
        self._stream, self._name = stream, name
        self.tell = stream.tell
        self._steps = self._exif = self._scans = 0
        self._end = None  # the last bytes read, once the picture is being decoded

    def seek(self, place):
        """As of any file; Pillow goes back to the beginning when it has the header, to decode."""
        self._scans, self._end = 0, b""
        return self._stream.seek(place)

    def read(self, size):
        """As of any file."""
        data = self._stream.read(size)
        if self._end is None:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                self._refuse(self._steps, "steps through its header", _MOST_STEPS)
            if data.startswith(_EXIF):  # each part of the header is read by itself
                self._exif += 1
                if self._exif > _MOST_DEAR_PARTS:
                    self._refuse(self._exif, "pieces of Exif data", _MOST_DEAR_PARTS)
        else:
            recent = self._end + data  # a scan may begin in one read and go on in the next
            self._end = recent[1 - len(_SCAN):]
            self._scans += recent.count(_SCAN)
            if self._scans > _MOST_DEAR_PARTS:
                self._refuse(self._scans, "scans", _MOST_DEAR_PARTS)
        return data

    def _refuse(self, count, kind, most):
        raise ImageError(self._name, "it is a JPEG of at least {:,} {}, more than the {:,} "
                         "allowed; save it anew with another program".format(count, kind, most))
