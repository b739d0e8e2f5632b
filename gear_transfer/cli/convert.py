"""gear-transfer convert: a weight file into the native format."""
import os

from .options import add_json, add_preprocessing, check_destination
from .output import file_facts, write, write_json

SUMMARY = "turn a weight file into the native format"
DESCRIPTION = """\
Turn a weight file (Keras HDF5, PyTorch weights in safetensors, or native) into the
native format, which loads in milliseconds. One line about what was written goes to standard output, or with --json
its path, size, SHA-256, last layer, number of layers, input size (height, width),
preprocessing and fingerprint: the SHA-256 of the graph and the weights, whatever the file."""
EXAMPLES = """\
examples:
  gear-transfer convert model.h5 model.gtw --layer mixed7
  gear-transfer convert efficientnet_lite0.safetensors lite0.gtw --layer head --compress
  gear-transfer convert model.h5 model.gtw --json | jq -r .fingerprint"""


def add_arguments(parser):
    parser.add_argument("source", help="the file to read")
    parser.add_argument("destination", help="the file to write, by custom *.gtw")
    parser.add_argument("--layer", help="cut the network here (default: keep all of it)")
    parser.add_argument("--float32", action="store_true",
                        help="do not store 8-bit tensors as bytes, which loses nothing")
    parser.add_argument("--compress", action="store_true",
                        help="store kernels in 8 or 16 bits, which takes a quarter of the room and "
                             "changes features a little")
    add_preprocessing(parser)
    add_json(parser, "a line of text")


def run(arguments):
    from ..importers.convert import convert
    check_destination(arguments.destination)
    written = convert(arguments.source, arguments.destination, layer=arguments.layer,
                      quantize=not arguments.float32, compress=arguments.compress,
                      preprocessing=arguments.preprocessing)
    if arguments.json:
        facts = file_facts(arguments.destination)
        facts["source"] = arguments.source
        facts["layers"] = len(written.nodes)
        facts["last_layer"] = written.nodes[-1].name
        facts["input_size"] = written.input_size
        facts["preprocessing"] = written.preprocessing
        facts["fingerprint"] = written.fingerprint()
        write_json(facts)
    else:
        write("{}: {} layers up to {}, {:,} bytes\n".format(
            arguments.destination, len(written.nodes), written.nodes[-1].name,
            os.path.getsize(arguments.destination)))
    return 0
