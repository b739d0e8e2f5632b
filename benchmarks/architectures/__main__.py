"""The rows of architectures as lines of JSON: ``python -m architectures OPTIONS``.

Runs in the environment of the library that builds them. OPTIONS is JSON; its `wanted` is a list of
[name, kinds]. After each architecture comes a line with its name alone.
"""
import gc
import json
import sys
import tempfile
import warnings


def main():
    options = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    for name, kinds in options.pop("wanted"):
        if name.startswith(("keras:", "own:")):
            from architectures import keras_models as models
        else:
            from architectures import torch_models as models
        with tempfile.TemporaryDirectory() as folder:
            for row in models.rows(name, kinds, dict(options), folder):
                print(json.dumps(row), flush=True)
        print(json.dumps(name), flush=True)
        gc.collect()


main()
