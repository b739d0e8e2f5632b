"""What computes here: versions, and what the processor offers."""
import collections
import platform

from .. import __version__, _core
from .threads import check_threads

#: Versions of Python, gear_transfer and oneDNN, the instruction set in use, and the threads that a
#: backbone takes by default.
MachineInfo = collections.namedtuple(
    "MachineInfo", ["python", "gear_transfer", "onednn", "instructions", "threads"])


def machine_info():
    """Versions in use, the processor's instruction set and the number of threads.

    Returns
    -------
    MachineInfo
        A named tuple: python, gear_transfer, onednn and instructions are str,
        threads is an int.

    Examples
    --------
    >>> import gear_transfer as gt
    >>> gt.machine_info().threads >= 1
    True
    """
    onednn, instructions = _core.engine_info()
    return MachineInfo(platform.python_version(), __version__, onednn, instructions,
                       check_threads(None))
