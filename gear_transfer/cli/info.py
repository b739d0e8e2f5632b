"""gear-transfer info: the card of a saved classifier."""
from .options import add_json
from .output import write, write_json

SUMMARY = "say what a saved classifier is"
DESCRIPTION = """\
The card of a saved MODEL: what it is for, its classes and how many photographs each
had, when it was trained, accuracy on the photographs that were held back with its 95 %
interval (Wilson), the network beneath and the licence of its weights, how photographs
are prepared, and what it cannot be relied on for. Text, or with --json all of it for
programs."""
EXAMPLES = """\
examples:
  gear-transfer info gear.gtm
  gear-transfer info gear.gtm --json | jq .held_out"""


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    add_json(parser, "text")


def run(arguments):
    from ..classifiers.model_file import load_model
    from ..workbench.model_card import model_card
    card = model_card(load_model(arguments.model, cache=False, verbose=0))
    if arguments.json:
        write_json(card.to_dict())
    else:
        write("{}\n".format(card))
    return 0
