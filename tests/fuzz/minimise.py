"""The few of many inputs that take the most branches; see run.py's --minimise."""
import hashlib
import os
import sys
import zlib

#: Inputs that are chosen at most.
MOST = 40
#: Bytes of a chosen input as it is kept, deflated: HDF5 and SQLite are mostly zeros.
LARGEST = 4096


def branches(run, data, folders):
    """What one run does in the Python files of some folders.

    Parameters
    ----------
    run : callable
        Called with `data`.
    data : bytes
    folders : tuple of str

    Returns
    -------
    set of (code, int, int)
        Pairs of lines of a function that were run one after the other.
    """
    found = set()

    def enter(frame, event, argument):
        code = frame.f_code
        if not code.co_filename.startswith(folders):
            return None
        line = 0

        def step(frame, event, argument):
            nonlocal line
            if event == "line":
                found.add((code, line, frame.f_lineno))
                line = frame.f_lineno
            return step

        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        run(data)
    finally:
        sys.settrace(before)
    return found


def cover(candidates, known, most=MOST):
    """Choose greedily: each time the one that adds the most, of those the smallest.

    Parameters
    ----------
    candidates : dict of bytes to set
        What each input covers.
    known : set
        What needs no covering.
    most : int

    Returns
    -------
    list of bytes
    """
    left = {data: found - known for data, found in candidates.items()}
    chosen = []
    while len(chosen) < most and any(left.values()):
        best = min(left, key=lambda data: (-len(left[data]), len(data), data))
        added = left.pop(best)
        chosen.append(best)
        for found in left.values():
            found -= added
    return chosen


def keep(data, folder):
    """Write an input, deflated, under a short hash of its content."""
    name = hashlib.sha256(data).hexdigest()[:12] + ".z"
    with open(os.path.join(folder, name), "wb") as stream:
        stream.write(zlib.compress(data, 9))


def minimise(target, source, folder, folders):
    """Replace the deflated inputs in a folder by the best of a larger one.

    Parameters
    ----------
    target : Target
    source : str
        The folder of many inputs.
    folder : str
        Where the chosen ones go.
    folders : tuple of str
        Whose branches count.

    Returns
    -------
    str
        What was done, one line.
    """
    known = set()
    for _ in range(2):  # what is done on first use only counts for nothing
        for data in target.seeds():
            known |= branches(target.run, data, folders)
    seeds = len(known)
    candidates = {}
    for entry in sorted(os.listdir(source)):
        with open(os.path.join(source, entry), "rb") as stream:
            data = stream.read()
        if len(zlib.compress(data, 9)) <= LARGEST:
            candidates[data] = branches(target.run, data, folders)
    chosen = cover(candidates, known)
    os.makedirs(folder, exist_ok=True)
    for entry in os.listdir(folder):
        if entry.endswith(".z"):
            os.remove(os.path.join(folder, entry))
    for data in chosen:
        keep(data, folder)
    reached = len(known.union(*(candidates[data] for data in chosen)))
    every = len(known.union(*candidates.values()))
    return "{} of {:,} inputs; branches: {:,} by seeds, {:,} with those, {:,} with all".format(
        len(chosen), len(os.listdir(source)), seeds, reached, every)
