"""Writing a file so that a reader never sees half of it."""
import contextlib
import os
import uuid


@contextlib.contextmanager
def atomic_file(path):
    """Open a temporary file beside `path` that takes its place at the end.

    The file is flushed to the disk and renamed when the block ends; it is
    removed when the block raises.

    Parameters
    ----------
    path : str

    Yields
    ------
    file
        Binary, open for writing.
    """
    path = os.path.abspath(str(path))
    temporary = "{}.{}.tmp".format(path, uuid.uuid4().hex)
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        try:
            os.remove(temporary)
        except OSError:
            pass
        raise
