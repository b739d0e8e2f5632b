"""gear-transfer convert: a weight file into the native format."""
import os

from .output import write

SUMMARY = "turn a weight file into the native format"
DESCRIPTION = """\
Turn a weight file (Keras HDF5 or native) into the native format, which loads in
milliseconds. One line about what was written goes to standard output."""
EXAMPLES = """\
example:
  gear-transfer convert model.h5 model.gtw --layer mixed7"""


def add_arguments(parser):
    parser.add_argument("source", help="the file to read")
    parser.add_argument("destination", help="the file to write, by custom *.gtw")
    parser.add_argument("--layer", help="cut the network here (default: keep all of it)")
    parser.add_argument("--float32", action="store_true",
                        help="do not store 8-bit tensors as bytes, which loses nothing")


def run(arguments):
    from ..importers.convert import convert
    written = convert(arguments.source, arguments.destination, layer=arguments.layer,
                      quantize=not arguments.float32)
    write("{}: {} layers up to {}, {:,} bytes\n".format(
        arguments.destination, len(written.nodes), written.nodes[-1].name,
        os.path.getsize(arguments.destination)))
    return 0
