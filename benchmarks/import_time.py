"""How long a fresh Python takes to import, to load the backbone and to give the first features.

    python benchmarks/import_time.py [--rounds 5] [--write]

The clock starts before the process does and is read inside it, so the start of Python counts and
its end does not. Each line is a process of its own; they run in turn, round after round.
"""
import argparse
import collections
import json
import time

import processes
import report

#: Modules that cost time to import; which of them came along is part of the report.
HEAVY = ("tensorflow", "torch", "keras", "matplotlib", "pandas", "scipy", "sklearn", "h5py", "PIL",
         "tqdm", "joblib", "numpy")

#: Printed by each process, after what it is there for; the clock is one for all processes.
_EPILOGUE = """
import time
done = time.monotonic()
import json, sys
print(json.dumps([done, [name for name in json.loads(sys.argv[1]) if name in sys.modules]]))
"""

_READ = """
from gear_transfer import read_image
backbone = Backbone.load()
backbone.features(read_image(sys.argv[2], backbone.input_size)[None])
"""

STEPS = collections.OrderedDict([
    ("Python starts", ""),
    ("import numpy", "import numpy"),
    ("import gear_transfer", "import numpy, gear_transfer"),
    ("from gear_transfer import Backbone", "from gear_transfer import Backbone"),
    ("from gear_transfer import TransferClassifier",
     "from gear_transfer import TransferClassifier"),
    ("Backbone.load()", "from gear_transfer import Backbone\nBackbone.load()"),
    ("first features, Backbone", "import sys\nfrom gear_transfer import Backbone" + _READ),
    ("first features, FeatureExtractor",
     "import sys\nfrom gear_transfer import FeatureExtractor\n"
     "FeatureExtractor().transform([sys.argv[2]])"),
])


def measure(python, rounds, photograph):
    """Seconds of each step by round, and the heavy modules it imported."""
    seconds = collections.OrderedDict((name, []) for name in STEPS)
    modules = {}
    for number in range(-1, rounds):
        for name, code in STEPS.items():
            started = time.monotonic()
            done, modules[name] = processes.run(
                [python, "-c", code + "\n" + _EPILOGUE, json.dumps(HEAVY), photograph]).result
            if number >= 0:  # the round before the first fills the file cache
                seconds[name].append(done - started)
    return seconds, modules


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_options(parser, peers=False)
    report.add_write_option(parser)
    arguments = parser.parse_args()
    photograph = processes.shared_file(arguments.shared, "gear", "new_images", "01_axes.jpeg")
    seconds, modules = measure(arguments.python, arguments.rounds, photograph)

    rows = []
    for name in STEPS:
        extra = [a - b for a, b in zip(seconds[name], seconds["import numpy"])]
        known = name in ("Python starts", "import numpy")
        rows.append([name, report.spread(seconds[name], "{:.3f}"),
                     "" if known else report.spread(extra, "{:.3f}"),
                     ", ".join(modules[name]) or "none"])
    explanation = (
        "Seconds from before the start of Python, rounds in turn: {}, medians "
        "(smallest–largest). The features are of one photograph read from a file, with the "
        "embedded backbone and the defaults."
        .format(arguments.rounds))
    report.publish("import_time", "Import and first features (import_time.py)",
                   [explanation, report.table(["a fresh process", "seconds", "beyond numpy",
                                               "heavy modules it imported"], rows)],
                   report.machine(arguments.python), arguments.write)


if __name__ == "__main__":
    main()
