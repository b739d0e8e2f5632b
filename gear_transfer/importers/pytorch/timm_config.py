"""The config.json that timm puts beside its model.safetensors."""
import os

from ...common.regular_file import open_regular
from ...errors import WeightsError
from ..json_text import parse_json
from ..preprocessing import RESIZE_FILTERS, from_statistics
from .description import Config

NAME = "config.json"
LONGEST = 1 << 20

#: Arguments of timm's models that change nothing of what is computed from an image.
_HARMLESS = ("img_size", "num_classes", "in_chans", "dynamic_img_size", "dynamic_img_pad",
             "drop_rate", "drop_path_rate", "global_pool", "init_values", "reg_tokens",
             "no_embed_class", "class_token", "pretrained", "scriptable", "exportable")


def read_config(path):
    """What the config.json beside a file says.

    Parameters
    ----------
    path : str
        The weight file.

    Returns
    -------
    Config
        An empty one where there is none, or one of another library.

    Raises
    ------
    WeightsError
        Naming the config.json and what is wrong with it.
    """
    path = os.path.join(os.path.dirname(path), NAME)

    def fail(reason):
        raise WeightsError("{}: {}".format(path, reason))

    try:
        with open_regular(path) as stream:
            text = stream.read(LONGEST + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        fail("cannot be read ({})".format(error.strerror or error))
    if len(text) > LONGEST:
        fail("takes more than {} bytes".format(LONGEST))
    value = parse_json(text, fail, "text")
    if not isinstance(value, dict):
        fail("is not a JSON object")
    if "architecture" not in value:
        return Config()
    name = value["architecture"]
    if not isinstance(name, str) or not 0 < len(name) < 200:
        fail("'architecture' must be the name of a network, not {:.80}".format(repr(name)))
    _check_arguments(value.get("model_args"), fail)
    settings = value.get("pretrained_cfg", value)
    if not isinstance(settings, dict):
        fail("'pretrained_cfg' must be a JSON object")
    return Config(path, name.split(".")[0], _input_size(settings.get("input_size"), fail),
                  _preprocessing(settings, path, fail))


def _check_arguments(arguments, fail):
    if not isinstance(arguments, (dict, type(None))):
        fail("'model_args' must be a JSON object")
    for key in arguments or ():
        if key not in _HARMLESS:
            fail("'model_args' has {:.80}, which changes the network in a way that is not "
                 "read".format(repr(key)))


def _input_size(value, fail):
    if value is None:
        return None
    if (not isinstance(value, list) or len(value) != 3
            or not all(type(side) is int and 0 < side <= 1 << 14 for side in value)):
        fail("'input_size' must be [channels, height, width], not {:.80}".format(repr(value)))
    if value[0] != 3:
        fail("'input_size' has {} channels, expected 3".format(value[0]))
    return tuple(value[1:])


def _preprocessing(settings, path, fail):
    if "mean" not in settings and "std" not in settings:
        return None
    mean, std = settings.get("mean"), settings.get("std")
    if not isinstance(mean, (list, float, int)) or not isinstance(std, (list, float, int)):
        fail("'mean' and 'std' must be numbers for the three channels")
    interpolation, crop = settings.get("interpolation"), settings.get("crop_pct")
    if settings.get("crop_mode", "center") != "center":
        crop = None  # photographs are squashed or get a border
    try:
        return from_statistics(mean, std, crop=crop, resize_filter=interpolation if isinstance(
            interpolation, str) and interpolation in RESIZE_FILTERS else None)
    except WeightsError as error:
        raise WeightsError("{}: {}".format(path, error))
