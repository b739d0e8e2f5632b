"""The command line: python -m gear_transfer, or gear-transfer."""
import argparse
import sys

from . import __version__
from .errors import GearTransferError


def _convert(arguments):
    from .importers.convert import convert
    written = convert(arguments.source, arguments.destination, layer=arguments.layer,
                      quantize=not arguments.float32)
    print("{}: {} layers up to {}, {:,} bytes".format(
        arguments.destination, len(written.nodes), written.nodes[-1].name,
        _size(arguments.destination)))


def _size(path):
    import os
    return os.path.getsize(path)


def _download(arguments):
    from .importers.weights import download_official_weights
    print(download_official_weights(arguments.destination))


def _parser():
    parser = argparse.ArgumentParser(
        prog="gear-transfer", description="Photographs in, a trained classifier out.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    convert = commands.add_parser(
        "convert", help="turn a weight file into the native format",
        description="Turn a weight file (Keras HDF5 or native) into the native format.",
        epilog="example: gear-transfer convert model.h5 model.gtw --layer mixed7")
    convert.add_argument("source", help="the file to read")
    convert.add_argument("destination", help="the file to write, by custom *.gtw")
    convert.add_argument("--layer", help="cut the network here (default: keep all of it)")
    convert.add_argument("--float32", action="store_true",
                         help="do not store 8-bit tensors as bytes, which loses nothing")
    convert.set_defaults(run=_convert)
    download = commands.add_parser(
        "download", help="download the official ImageNet weights of Inception V3",
        description="Download Keras's official ImageNet weights of Inception V3 (87,910,968 "
                    "bytes); the file is checked by size and MD5 before it gets its name.",
        epilog="example: gear-transfer download")
    download.add_argument("destination", nargs="?",
                          help="file or folder (default: ~/.keras/models)")
    download.set_defaults(run=_download)
    return parser


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default is those of the process.

    Returns
    -------
    int
        0 for success, 1 for an error that was reported, 2 for wrong usage.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return 2
    try:
        parsed.run(parsed)
    except (GearTransferError, OSError) as error:
        print("gear-transfer: {}".format(error), file=sys.stderr)
        return 1
    return 0
