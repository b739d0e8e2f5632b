"""Layers as Keras 1 describes them, in the words of Keras 2."""

#: Classes by their names in Keras 1.
_CLASSES = {"Convolution2D": "Conv2D", "AtrousConvolution2D": "Conv2D",
            "AtrousConv2D": "Conv2D", "SeparableConvolution2D": "SeparableConv2D"}

#: Settings by their names in Keras 1.
_SETTINGS = {"nb_filter": "filters", "subsample": "strides", "border_mode": "padding",
             "bias": "use_bias", "output_dim": "units", "atrous_rate": "dilation_rate"}

_MERGES = {"sum": "Add", "concat": "Concatenate", "mul": "Multiply", "ave": "Average",
           "max": "Maximum"}


def upgraded(entry):
    """The entry of a layer, as Keras 2 would write it.

    Parameters
    ----------
    entry : dict
        With class_name and config.

    Returns
    -------
    dict
        The same one where nothing is of Keras 1.
    """
    config = entry["config"]
    kind = entry.get("class_name")
    if kind == "Merge":
        return dict(entry, class_name=_MERGES.get(str(config.get("mode")), "Merge"),
                    config=dict(config, axis=config.get("concat_axis", -1)))
    old = [key for key in _SETTINGS if key in config]
    if not old and "dim_ordering" not in config:
        return entry
    config = dict(config)
    for key in old:
        config.setdefault(_SETTINGS[key], config[key])
    if "nb_row" in config and "nb_col" in config:
        config.setdefault("kernel_size", [config["nb_row"], config["nb_col"]])
    if config.get("dim_ordering") == "th":
        config["data_format"] = "channels_first"
    return dict(entry, class_name=_CLASSES.get(kind, kind) if isinstance(kind, str) else kind,
                config=config)
