"""gear-transfer cache: what the cache of features holds, and how to be rid of it."""
import time

from .options import add_json
from .output import write, write_json

SUMMARY = "say what the cache of features holds, or empty it"
DESCRIPTION = """\
'info' says where the cache of features is, how much room it takes and when it was
last used; 'clear' removes all that it holds and gives the room back to the disk.
Features are computed anew when they are next needed. A cache that another process
is writing to, or that cannot be removed, is an error."""
EXAMPLES = """\
examples:
  gear-transfer cache info
  gear-transfer cache info --json | jq .bytes
  gear-transfer cache clear
  gear-transfer cache clear --cache /data/features"""


def add_arguments(parser):
    parser.add_argument("action", choices=("info", "clear"))
    add_json(parser, "text")
    parser.add_argument("--cache", metavar="FOLDER",
                        help="the folder (default: the platform's cache folder)")


def run(arguments):
    from ..common.cache import FeatureCache
    cache = FeatureCache(arguments.cache)
    if arguments.action == "clear":
        cache.clear()
    facts = cache.info()
    if arguments.json:
        write_json(facts)
    else:
        write(_text(facts))
    return 0


def _text(facts):
    lines = [("file", facts["path"]),
             ("on disk", "{:.1f} MB".format(facts["bytes"] / 1e6)),
             ("vectors", "{:,} in {:.1f} MB, of {:.1f} MB that are kept".format(
                 facts["vectors"], facts["vector_bytes"] / 1e6, facts["limit"] / 1e6))]
    if facts["vectors"]:
        lines.append(("used", "{} to {}".format(*(
            time.strftime("%Y-%m-%d %H:%M", time.localtime(facts[name]))
            for name in ("first_used", "last_used")))))
    return "".join("{:<8} {}\n".format(*line) for line in lines)
