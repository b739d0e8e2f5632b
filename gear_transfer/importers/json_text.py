"""Parsing JSON that nobody vouches for, in memory bounded by its length."""
import json
from collections import OrderedDict

#: Most objects, lists and separators in a text: each costs memory, tens of times its own length.
#: The largest published networks need a tenth.
LIMITS = (("{", 40000), ("[", 150000), (",", 500000))

#: Most digits of a number; converting them takes time that grows with their square.
MOST_DIGITS = 1000


def parse_json(text, fail, what, strict=True):
    """The value of a JSON text.

    Parameters
    ----------
    text : bytes or str
    fail : callable
        ``fail(reason)`` raises the error.
    what : str
        Name of the text for messages.
    strict : bool
        Refuse repeated keys, NaN and infinity.

    Returns
    -------
    dict, list, str, int, float, bool or None
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        for sign, most in LIMITS:
            if text.count(sign) > most:
                raise ValueError("more than {} times '{}'".format(most, sign))
        options = {"object_pairs_hook": _unique, "parse_constant": _refuse} if strict else {}
        return json.loads(text, parse_int=_whole_number, **options)
    except (ValueError, RecursionError) as error:
        fail("its {} is not valid JSON ({})".format(what, error))


def _unique(items):
    result = OrderedDict(items)
    if len(result) < len(items):
        raise ValueError("a key occurs twice")
    return result


def _refuse(name):
    raise ValueError("{} is not JSON".format(name))


def _whole_number(digits):
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number of {} digits".format(len(digits)))
    return int(digits)
