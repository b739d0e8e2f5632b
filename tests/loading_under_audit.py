"""Loads files while an audit hook looks on; prints what it saw as JSON.

    python loading_under_audit.py KIND FILE [KIND FILE ...]

KIND is the name of a fuzzing target. Every file is loaded once before the hook is set, so that what
our own modules import on first use does not count; for each file then come the error's type, or
null, and the events.
"""
import json
import os
import sys
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz"))

from gear_transfer.classifiers.model_file import load_model  # noqa: E402
from gear_transfer.common.cache import FeatureCache  # noqa: E402
from gear_transfer.importers import load_network  # noqa: E402
from gear_transfer.photographs.images import read_image  # noqa: E402

LOADERS = {
    "network": load_network,
    "model": lambda path: load_model(path, threads=1),
    "image": lambda path: read_image(path, 16),
    "cache": lambda path: FeatureCache(os.path.dirname(path)).get([b"\0" * 32], 24),
}

#: Events that tell of no harm: looking at attributes and frames.
HARMLESS = ("object.__getattr__", "sys._getframe", "builtins.id")


def load(kind, path):
    try:
        LOADERS[kind](path)
    except Exception as error:
        return type(error).__name__
    return None


def main():
    files = list(zip(sys.argv[1::2], sys.argv[2::2]))
    warnings.simplefilter("error")
    for kind, path in files:
        load(kind, path)
    seen = []

    def hook(event, arguments):
        if event not in HARMLESS:
            # Python 3.8 tells sqlite3's path as bytes.
            seen.append([event, [os.fsdecode(argument) if isinstance(argument, bytes)
                                 else str(argument) for argument in arguments[:1]]])

    sys.addaudithook(hook)
    results = []
    for kind, path in files:
        del seen[:]
        error = load(kind, path)
        results.append([error, list(seen)])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
