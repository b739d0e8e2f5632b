"""Opening a file that is one: neither a pipe that would wait for ever nor a device without an end."""
import os
import stat

_SPECIAL_FILES = (
    (stat.S_ISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, "it is a named pipe, not a regular file"),
    (stat.S_ISSOCK, "it is a socket, not a regular file"),
    (stat.S_ISCHR, "it is a device, not a regular file"),
    (stat.S_ISBLK, "it is a device, not a regular file"),
)


class NotRegularError(OSError):
    """What was to be opened is no regular file; the message says what it is."""


def open_regular(path):
    """Open a regular file for reading; a pipe or device is refused without blocking.

    Parameters
    ----------
    path : str

    Returns
    -------
    file object
        Binary.

    Raises
    ------
    NotRegularError
    OSError, ValueError
        As `open` raises them.
    """
    check_regular(os.stat(path).st_mode)
    # Another file may have taken the name since: hence not blocking, and looking again.
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        check_regular(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(mode):
    """Refuse a mode, as `os.stat` gives it, that is not a regular file's.

    Raises
    ------
    NotRegularError
    """
    if not stat.S_ISREG(mode):
        reasons = [reason for is_kind, reason in _SPECIAL_FILES if is_kind(mode)]
        raise NotRegularError(reasons[0] if reasons else "it is not a regular file")
