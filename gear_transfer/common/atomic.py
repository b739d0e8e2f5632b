"""Writing a file so that a reader never sees half of it."""
import contextlib
import os
import uuid


def write_whole(path, write):
    """Write a temporary file beside `path`, which takes its place at the end.

    The file is flushed to the disk and renamed, then the folder is flushed too;
    it is removed when anything raises. (No context manager: a Ctrl-C that comes
    while its block is entered or left would leave the file.)

    Parameters
    ----------
    path : str or Path
    write : callable
        Called with the binary file, open for writing.
    """
    path = os.path.abspath(str(path))
    temporary = "{}.{}.tmp".format(path, uuid.uuid4().hex)
    try:
        with open(temporary, "xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _flush_folder(os.path.dirname(path))
    except BaseException:
        try:
            os.remove(temporary)
        except OSError:
            pass
        raise


def _flush_folder(folder):
    """Have the new name on the disk too, where the system can be asked for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
