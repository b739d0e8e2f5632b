"""The rows of one architecture as lines of JSON: ``python -m architectures NAME KIND ...``.

Runs in the environment of the library that builds the architecture, in a process of its own.
"""
import json
import sys
import tempfile
import warnings


def main():
    name, options, kinds = sys.argv[1], sys.argv[2], sys.argv[3:]
    warnings.simplefilter("ignore")
    if name.startswith(("keras:", "own:")):
        from architectures import keras_models as models
    else:
        from architectures import torch_models as models
    with tempfile.TemporaryDirectory() as folder:
        for row in models.rows(name, kinds, json.loads(options), folder):
            print(json.dumps(row), flush=True)


main()
