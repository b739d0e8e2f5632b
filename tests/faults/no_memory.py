"""Python's own allocations fail, one after the other, in every function of the binding.

    python tests/faults/no_memory.py

For each function and each way in which it refuses, the Nth allocation through Python's allocators
fails, for N from 1 on until none is left: MemoryError or the usual outcome must follow, no
SystemError of ours, no crash, and the function must work afterwards. Needs CPython's _testcapi.
"""
import collections
import faulthandler
import itertools
import sys
import time

import _testcapi
from leaks import attempt, calls

#: Allocations of one call; the largest has about 250.
MOST = 2000


def attempt_without_memory(call, nth):
    """The type of what the call raises when its nth allocation fails, or None."""
    name = None
    _testcapi.set_nomemory(nth, nth + 1)
    try:
        call()
    except Exception as error:
        _testcapi.remove_mem_hooks()
        name = type(error).__name__
        if name == "SystemError" and not str(error).startswith("<built-in"):
            name = "MemoryError"  # the interpreter's own, as `control` shows
    finally:
        _testcapi.remove_mem_hooks()
    return name


def fail_each(call):
    """(allocations that made a difference, outcomes that are not allowed)."""
    usual = attempt(call)
    outcomes, bad, quiet = 0, collections.Counter(), 0
    for nth in range(1, MOST):
        name = attempt_without_memory(call, nth)
        if name == "MemoryError" and name != usual:
            outcomes, quiet = outcomes + 1, 0
        else:
            quiet += 1
            if name != usual:
                bad[name] += 1
        if quiet == 60:  # NumPy and Python do without some of what they ask for
            break
    if attempt(call) != usual:
        bad["afterwards"] += 1
    return outcomes, bad


def control():
    raise ValueError("no code of this project takes part in this")


def main():
    faulthandler.enable()
    start = time.time()
    failed, total, count = 0, 0, 0
    for name, call in itertools.chain([("control", control)], calls()):
        outcomes, bad = fail_each(call)
        total, count = total + outcomes, count + 1
        failed += bool(bad)
        print("{:<44} {:>4} failing allocations{}".format(
            name[:44], outcomes, "  BAD {}".format(dict(bad)) if bad else ""), flush=True)
    print("{} calls, {} failing allocations, {} bad; {:.0f} s".format(
        count, total, failed, time.time() - start))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
