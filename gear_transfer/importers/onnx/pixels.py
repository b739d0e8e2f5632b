"""What pixels a network wants, where its file or a configuration beside it says so."""
import os

from ...common.regular_file import open_regular
from ...errors import WeightsError
from ..json_text import parse_json
from ..preprocessing import from_statistics, resolve

_LARGEST = 1 << 20  # bytes of a configuration
_UINT8 = 2  # TensorProto.UINT8

#: Filters by their numbers in configurations of image processors, as Pillow has them.
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_KEYS = (("mean", "std"), ("image_mean", "image_std"), ("norm_mean", "norm_std"))


def preprocessing_of(model, path):
    """The preprocessing of an ONNX file and why, or None and None.

    Parameters
    ----------
    model : onnx.ModelProto
    path : str

    Returns
    -------
    preprocessing : dict or None
    reason : str or None
    """
    metadata = dict((entry.key, _value(entry.value)) for entry in model.metadata_props)
    found = _of_statistics(metadata)
    if found is not None:
        return found, "metadata in the file"
    for name, read in (("preprocessor_config.json", _of_processor), ("config.json", _of_timm)):
        settings = _beside(path, name)
        found = None if settings is None else read(settings)
        if found is not None:
            return found, "{} beside the file".format(name)
    if _reads_bytes(model.graph):
        return resolve("raw"), "the network reads bytes"
    return None, None


def _reads_bytes(graph):
    """Whether the image that the network reads is of uint8."""
    arrays = set(tensor.name for tensor in graph.initializer)
    types = [value.type.tensor_type.elem_type for value in graph.input if value.name not in arrays]
    return types == [_UINT8]


def _fail(reason):
    raise WeightsError(reason)


def _value(text):
    """A value of the metadata: JSON, or numbers with commas between them."""
    try:
        return parse_json(text.encode("utf-8"), _fail, "metadata")
    except WeightsError:
        pass
    try:
        return [float(part) for part in text.strip("()[] ").split(",")]
    except ValueError:
        return text


def _beside(path, name):
    """A configuration in the same folder, dict; None where there is none that can be read."""
    try:
        with open_regular(os.path.join(os.path.dirname(os.path.abspath(path)), name)) as stream:
            settings = parse_json(stream.read(_LARGEST), _fail, name)
    except (OSError, WeightsError):
        return None
    return settings if isinstance(settings, dict) else None


def _of_statistics(settings, **more):
    """From a mean and a deviation, of pixels between 0 and 1 or between 0 and 255."""
    for mean, std in _KEYS:
        mean, std = settings.get(mean), settings.get(std)
        if mean is None or std is None:
            continue
        try:
            largest = max(std) if isinstance(std, list) else std
            if largest > 2.0:  # no deviation of numbers between 0 and 1
                mean, std = [[number / 255.0 for number in (values if isinstance(values, list)
                                                            else [values])]
                             for values in (mean, std)]
            return from_statistics(mean, std, **more)
        except (TypeError, ValueError):
            return None
    return None


def _of_processor(settings):
    """preprocessor_config.json, as image processors are saved."""
    if settings.get("do_normalize", True) is not True or settings.get("do_rescale", True) is not True:
        return None
    factor = settings.get("rescale_factor", 1.0 / 255.0)
    if not isinstance(factor, float) or abs(factor * 255.0 - 1.0) > 1e-6:
        return None
    name = _FILTERS.get(settings.get("resample")) if isinstance(
        settings.get("resample"), int) else None
    return _of_statistics(settings, **({"resize_filter": name} if name else {}))


def _of_timm(settings):
    """config.json, as timm saves it."""
    settings = settings.get("pretrained_cfg", settings)
    if not isinstance(settings, dict):
        return None
    more = {}
    if settings.get("interpolation") in _FILTERS.values():
        more["resize_filter"] = settings["interpolation"]
    crop = settings.get("crop_pct")
    if isinstance(crop, float) and 0.0 < crop <= 1.0:
        more["crop"] = crop
    return _of_statistics(settings, **more)
