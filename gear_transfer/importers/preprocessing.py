"""How pixels become what a network wants to see; the one home of it.

A preprocessing is a dict: the network sees ``uint8 * scale + offset``.

    scale, offset   a number each, or a list with one for each channel, in the network's order
    channels        "bgr" where the network wants blue first; red is first where it is missing
    resize_filter   of the photographs that it was trained on, where that is known
    crop            likewise: the part of the shorter side that a square from the middle shows
"""
import numbers
from collections import OrderedDict

from ..errors import WeightsError

#: Filters by which a photograph can be resized, as Pillow names them.
RESIZE_FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")

ORDERS = ("rgb", "bgr")

#: Why a preprocessing counts that the caller named.
ASKED_FOR = "asked for"

_KEYS = ("scale", "offset", "channels", "resize_filter", "crop")
_CHANNELS = 3
_LARGEST = 3e38  # of float32


def from_statistics(mean, std, channels="rgb", resize_filter=None, crop=None):
    """The preprocessing of a network that sees ``(uint8 / 255 - mean) / std``.

    Parameters
    ----------
    mean, std : float or sequence of float
        Of each channel, in the network's order.
    channels : {"rgb", "bgr"}
    resize_filter : str, optional
        One of `RESIZE_FILTERS`.
    crop : float, optional

    Returns
    -------
    dict
        As `resolve` returns it.

    Raises
    ------
    WeightsError
        Naming what is wrong.
    """
    mean, std = _numbers(mean, "mean"), _numbers(std, "std")
    if len(mean) != len(std):
        mean, std = [values * (_CHANNELS // len(values)) for values in (mean, std)]
    if not all(value > 0 for value in std):
        raise WeightsError("std must be above 0, not {!r}".format(std))
    found = {"scale": [1.0 / (255.0 * value) for value in std],
             "offset": [-middle / value for middle, value in zip(mean, std)], "channels": channels}
    if resize_filter is not None:
        found["resize_filter"] = resize_filter
    if crop is not None:
        found["crop"] = crop
    return resolve(found)


def resolve(preprocessing, what="preprocessing"):
    """The preprocessing that a name or a dict stands for, each key checked.

    Parameters
    ----------
    preprocessing : str or dict
        One of `USUAL` by name, or all of a preprocessing.
    what : str
        For messages, such as a file and "preprocessing".

    Returns
    -------
    dict
        A new one. Channels of one number share it, and what is as usual is left out, so that
        equal preprocessings are equal dicts.

    Raises
    ------
    WeightsError
        Naming the key that is wrong.
    """
    if isinstance(preprocessing, str):
        if preprocessing not in USUAL:
            raise WeightsError("{} cannot be {!r}: give {} or a dict with 'scale' and "
                               "'offset'".format(what, preprocessing, _names()))
        return _copy(USUAL[preprocessing][0])
    if not isinstance(preprocessing, dict):
        raise WeightsError("{} must be {} or a dict with 'scale' and 'offset', not {!r}".format(
            what, _names(), preprocessing))
    what = "{} {:.200}".format(what, repr(dict(preprocessing)))
    for key in preprocessing:
        if key not in _KEYS:
            raise WeightsError("{} has the key {!r}, known are {}".format(
                what, key, ", ".join(repr(known) for known in _KEYS)))
    result = OrderedDict()
    for key in ("scale", "offset"):
        if key not in preprocessing:
            raise WeightsError("{} has no '{}': the network sees uint8 * scale + offset".format(
                what, key))
        values = _numbers(preprocessing[key], "{}: '{}'".format(what, key))
        result[key] = values[0] if len(set(values)) == 1 else values
    for key, known in (("channels", ORDERS), ("resize_filter", RESIZE_FILTERS)):
        value = preprocessing.get(key)
        if key in preprocessing and not (isinstance(value, str) and value in known):
            raise WeightsError("{}: '{}' must be {}, not {!r}".format(
                what, key, " or ".join(repr(each) for each in known), value))
    if preprocessing.get("channels") == "bgr":
        result["channels"] = "bgr"
    if "resize_filter" in preprocessing:
        result["resize_filter"] = preprocessing["resize_filter"]
    if "crop" in preprocessing:
        crop = preprocessing["crop"]
        if type(crop) not in (int, float) or not 0 < crop <= 1:
            raise WeightsError("{}: 'crop' must be a fraction above 0 and up to 1, not {!r}".format(
                what, crop))
        result["crop"] = float(crop)
    return dict(result)


def check_known(network, name):
    """Refuse a network of which nobody has said what pixels it wants.

    Parameters
    ----------
    network : Network
    name : str
        What it was loaded by, for messages.

    Raises
    ------
    WeightsError
        Listing the usual ways and what to write.
    """
    if network.preprocessing is not None:
        return
    raise WeightsError(
        "{}: this file does not say what pixels its network was trained on, and wrong ones cost most "
        "of its accuracy without a word. Say it: preprocessing= (on the command line --preprocessing) "
        "is one of\n{}\nor a dict such as {{\"scale\": 1 / 255, \"offset\": 0.0, \"channels\": "
        "\"rgb\"}}: the network sees uint8 * scale + offset, each a number or three".format(
            name, "\n".join("  {:<9} {}".format(repr(each), USUAL[each][1]) for each in USUAL)))


def is_plain(preprocessing):
    """Whether it is one scale and one offset for all channels and nothing else."""
    return (set(preprocessing) == {"scale", "offset"}
            and not any(isinstance(value, list) for value in preprocessing.values()))


def usual_name(preprocessing):
    """The name under which `USUAL` has what this makes of pixels, None where it has none."""
    pixels = _of_pixels(preprocessing)
    for name in USUAL:
        if _of_pixels(USUAL[name][0]) == pixels:
            return name
    return None


def to_text(preprocessing):
    """A preprocessing in words, str."""
    name = usual_name(preprocessing)
    text = ("'{}': {}".format(name, USUAL[name][1]) if name else "{}, uint8 * {} + {}".format(
        preprocessing.get("channels", "rgb").upper(),
        *[_shown(preprocessing[key]) for key in ("scale", "offset")]))
    if "resize_filter" in preprocessing:
        text += "; photographs resized by {}".format(preprocessing["resize_filter"])
    if "crop" in preprocessing:
        text += "; cut from the middle, {:g} of the shorter side".format(preprocessing["crop"])
    return text


def _shown(value):
    numbers = ["{:.6g}".format(number) for number in (value if isinstance(value, list) else [value])]
    return numbers[0] if len(numbers) == 1 else "({})".format(", ".join(numbers))


def _of_pixels(preprocessing):
    """The part that concerns pixels, not how photographs are resized."""
    return dict((key, value) for key, value in preprocessing.items()
                if key in ("scale", "offset", "channels"))


def _copy(preprocessing):
    return dict((key, list(value) if isinstance(value, list) else value)
                for key, value in preprocessing.items())


def _names():
    return ", ".join(repr(name) for name in USUAL)


def _numbers(value, what):
    """One finite number, or one for each channel, as a list of float."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if (len(values) not in (1, _CHANNELS) or not all(
            isinstance(number, numbers.Real) and not isinstance(number, bool)
            and abs(number) < _LARGEST for number in values)):
        raise WeightsError("{} must be a finite number or a list of {}, one for each channel, not "
                           "{!r}".format(what, _CHANNELS, value))
    return [float(number) for number in values]


#: The usual ways by name, each with its meaning in words.
USUAL = OrderedDict([
    ("tf", ({"scale": 1.0 / 127.5, "offset": -1.0},
            "-1 to 1: uint8 / 127.5 - 1 (Keras's Inception, MobileNet V1 and V2, ResNet V2)")),
    ("caffe", ({"scale": 1.0, "offset": [-103.939, -116.779, -123.68], "channels": "bgr"},
               "blue, green, red less the means 103.939, 116.779, 123.68 (Keras's VGG, ResNet V1)")),
    ("torch", (from_statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
               "uint8 / 255 less the mean (0.485, 0.456, 0.406), by the deviation "
               "(0.229, 0.224, 0.225) (PyTorch's torchvision and timm, Keras's DenseNet)")),
    ("raw", ({"scale": 1.0, "offset": 0.0},
             "0 to 255 as they are (Keras's EfficientNet: the network rescales by itself)")),
])
