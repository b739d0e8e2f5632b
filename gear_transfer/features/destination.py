"""Where features go that are not to fill the memory: an array that is given, or a file."""
import contextlib
import os
import tempfile

import numpy as np

from ..common.arguments import is_path


@contextlib.contextmanager
def destination(out, shape):
    """An array for features; a file's appears under its name when the block ends without an error.

    Parameters
    ----------
    out : str, Path or float32 ndarray
    shape : tuple of int

    Yields
    ------
    ndarray or numpy.memmap of float32

    Raises
    ------
    ValueError
        If an array is of another shape or type, or cannot be written to.
    """
    if is_path(out):
        with _file(str(out), shape) as features:
            yield features
        return
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.shape != shape or (
            not out.flags.writeable):
        found = "{} {}".format(out.dtype, out.shape) if isinstance(out, np.ndarray) else repr(out)
        raise ValueError("out must be a path or a writable float32 array of shape {}, not {}".format(
            shape, found))
    yield out


@contextlib.contextmanager
def _file(path, shape):
    """A mapped file of another name in the same folder, which takes the name in the end."""
    number, name = tempfile.mkstemp(".part", os.path.basename(path) + ".",
                                    os.path.dirname(path) or ".")
    os.close(number)
    try:
        features = np.lib.format.open_memmap(name, "w+", np.dtype("<f4"), shape)
        yield features
        features.flush()
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
