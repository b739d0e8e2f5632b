"""The command line: gear-transfer, or python -m gear_transfer.

One module a command. Standard output carries data only: CSV in UTF-8, JSON or
the text that was asked for. Progress bars and messages go to standard error,
the bars only if that is a terminal.
"""
import argparse
import os
import sys

from .. import __version__
from ..common.progress import no_automatic_bars
from ..errors import GearTransferError
from . import cache, check, convert, download, evaluate, export, info, predict, report, serve, train, tune
from .options import pixels_allowed
from .output import complain, messages_to_stderr, open_closed_streams

_COMMANDS = (train, tune, predict, evaluate, report, info, serve, export, check, convert, download,
             cache)

_EXIT_CODES = """\
exit codes:
  0    done
  1    an error, which is reported on standard error; 'check': something is wrong
  2    wrong usage
  3    done, but some of the images cannot be read (predict, evaluate, report)
  4    done, but the accuracy asked for by --target is not met or not proven (evaluate,
       report)
  130  interrupted
"""


def _parser():
    parser = argparse.ArgumentParser(
        prog="gear-transfer", description="Photographs in, a trained classifier out.",
        epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rsplit(".", 1)[1]
        command = commands.add_parser(
            name, help=module.SUMMARY, description=module.DESCRIPTION, epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
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
        The exit code: 0 for success, 1 for an error that was reported, 2 for
        wrong usage; the others are listed by ``gear-transfer --help``.
    """
    open_closed_streams()
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return 2
    try:
        quiet = getattr(parsed, "quiet", False)
        with messages_to_stderr(quiet), no_automatic_bars(quiet), pixels_allowed(parsed):
            code = parsed.run(parsed)
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has left; Python would complain again when it flushes on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except (GearTransferError, ImportError, OSError, ValueError) as error:
        complain(str(error))
        return 1
    return code
