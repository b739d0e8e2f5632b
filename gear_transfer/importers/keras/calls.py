"""With what the layers of a model are called: the ``inbound_nodes`` of Keras 1 to 3."""
from collections import namedtuple

#: The tensor number `tensor` that the call number `call` of `layer` makes.
Reference = namedtuple("Reference", "layer call tensor")

#: Arguments of a call, in nested lists and dictionaries whose leaves are Reference or plain JSON.
Call = namedtuple("Call", "args kwargs")

#: How deep arguments may lie within each other.
DEEPEST = 16

_CONSTANT = "_CONSTANT_VALUE"


def read_calls(entry, name, fail):
    """The calls of a layer.

    Parameters
    ----------
    entry : dict
        What the configuration has of the layer.
    name : str
    fail : callable

    Returns
    -------
    list of Call
    """
    calls = entry.get("inbound_nodes")
    if calls is None or calls == []:
        return [Call([], {})]
    if not isinstance(calls, list):
        fail("layer '{}': its inputs are not a list".format(name))
    return [_call(call, name, fail) for call in calls]


def read_references(value, name, fail):
    """The tensors that a model names as its inputs or outputs, list of Reference."""
    return references(_values(value, name, fail))


def references(structure):
    """The references in nested lists and dictionaries, in order."""
    found = []
    waiting = [structure]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Reference):
            found.append(item)
        elif isinstance(item, (list, Call)):
            waiting.extend(reversed(item))
        elif isinstance(item, dict):
            waiting.extend(item[key] for key in sorted(item, reverse=True))
    return found


def replace(structure, known):
    """The same structure with the value that `known` has for every reference."""
    if isinstance(structure, Reference):
        return known[structure]
    if isinstance(structure, list):
        return [replace(item, known) for item in structure]
    if isinstance(structure, dict):
        return dict((key, replace(structure[key], known)) for key in structure)
    return structure


def _call(call, name, fail):
    """One call: Keras 3 has a dictionary, Keras 2 a list of ``[layer, call, tensor, kwargs]``."""
    if isinstance(call, dict):
        args, kwargs = call.get("args", []), call.get("kwargs", {})
        if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
            fail("layer '{}': its inputs are neither a list nor a dictionary".format(name))
        return Call(_values(args, name, fail), _values(kwargs, name, fail))
    if not isinstance(call, list):
        fail("layer '{}': its inputs are not a list".format(name))
    if _is_reference(call):  # a single input, without the list around it
        call = [call]
    tensors, kwargs = [], {}
    for item in call:
        if isinstance(item, list) and len(item) > 3 and isinstance(item[3], dict):
            kwargs.update(_values(item[3], name, fail))
        if isinstance(item, list) and len(item) >= 3 and item[0] == _CONSTANT:
            tensors.append(_values(item[2], name, fail))
        else:
            tensors.append(_values(item, name, fail))
    return Call(tensors if len(tensors) == 1 else [tensors], kwargs)


def _is_reference(item):
    return (isinstance(item, list) and len(item) in (3, 4) and isinstance(item[0], str)
            and type(item[1]) is int and type(item[2]) is int)


def _values(item, name, fail, depth=0):
    if depth > DEEPEST:
        fail("layer '{}': its inputs are nested too deep".format(name))
    if isinstance(item, dict):
        history = _history(item)
        if history is not None:
            return _values(history, name, fail, depth + 1)
        if item.get("class_name") == "__tuple__" or item.get("class_name") == "__list__":
            return _values(item.get("items", []), name, fail, depth + 1)
        return dict((key, _values(item[key], name, fail, depth + 1)) for key in item)
    if _is_reference(item):
        if item[1] < 0 or item[2] < 0:
            fail("layer '{}' reads the call {} of layer '{}'".format(name, item[1], item[0]))
        return Reference(item[0], item[1], item[2])
    if isinstance(item, (list, tuple)):
        return [_values(part, name, fail, depth + 1) for part in item]
    return item


def _history(item):
    """``[layer, call, tensor]`` of a tensor as Keras 3 writes it, else None."""
    config = item.get("config")
    history = config.get("keras_history") if isinstance(config, dict) else None
    return history if _is_reference(history) else None
