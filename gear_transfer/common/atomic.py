"""Writing a file so that a reader never sees half of it."""
import contextlib
import errno
import os
import stat
import uuid

_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
          (stat.S_ISBLK, "a device"))


def write_whole(path, write):
    """Write a temporary file beside `path`, which takes its place at the end.

    The file is flushed to the disk and renamed, then the folder is flushed too;
    it is removed when anything raises. (No context manager: a Ctrl-C that comes
    while its block is entered or left would leave the file.) A link stays a
    link: what it leads to is replaced. A file that was there passes on its
    mode and, where that is allowed, its owner and group.

    Parameters
    ----------
    path : str or Path
    write : callable
        Called with the binary file, open for writing.

    Raises
    ------
    OSError
        If it cannot be written, see `file_to_write`.
    """
    path, before = file_to_write(path)
    # A name of its own, so short that it fits wherever that of the file does.
    temporary = os.path.join(os.path.dirname(path), ".{}.tmp".format(uuid.uuid4().hex))
    try:
        with open(temporary, "xb") as stream:
            write(stream)
            stream.flush()
            if before is not None:
                _take_over(stream.fileno(), before)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _flush_folder(os.path.dirname(path))
    except BaseException:
        try:
            os.remove(temporary)
        except OSError:
            pass
        raise


def file_to_write(path):
    """The regular file that a path leads to, links followed; refused where there is another thing.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    path : str
    found : os.stat_result or None
        None where there is no file yet.

    Raises
    ------
    OSError
        For a folder, a device, a pipe, a socket, and a file that may not be written to.
    """
    path = str(path)
    target = os.path.realpath(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return target, None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name the file to write", path)
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(errno.EINVAL, "it is {}; name a regular file".format(kind), path)
    if not os.path.exists(target) or not os.path.samestat(os.stat(target), found):
        # Such as /dev/stdout, which leads to an open file and not to a name.
        raise OSError(errno.EINVAL, "it leads to a file without a name; name another", path)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file there is protected from writing", path)
    return target, found


def _take_over(descriptor, before):
    """Give a new file the owner, the group and the mode of the one that it replaces."""
    for owner, group in ((before.st_uid, before.st_gid), (-1, before.st_gid)):
        try:
            os.fchown(descriptor, owner, group)
            break
        except OSError:  # only root gives files away, others pass on groups of their own
            continue
    with contextlib.suppress(OSError):  # a file system without modes
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _flush_folder(folder):
    """Have the new name on the disk too, where the system can be asked for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
