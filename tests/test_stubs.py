"""_core.pyi names what the compiled core has, with the same signatures."""
import ast
import collections
import inspect
import os
import re

import pytest

import gear_transfer
from gear_transfer import _core

PACKAGE = os.path.dirname(os.path.abspath(gear_transfer.__file__))


def stub():
    with open(os.path.join(PACKAGE, "_core.pyi"), encoding="utf-8") as stream:
        return ast.parse(stream.read())


def public(names):
    return sorted(name for name in names if not name.startswith("_"))


def functions(body):
    return dict((node.name, node) for node in body if isinstance(node, ast.FunctionDef))


CLASSES = dict((node.name, node) for node in stub().body if isinstance(node, ast.ClassDef))


def pairs():
    """(name, definition in the stub, method or function of the core) of all that can be called."""
    head = type(_core.head((2, 3), 0))
    found = [(name, node, getattr(_core, name)) for name, node in functions(stub().body).items()]
    found += [("Head." + name, node, getattr(head, name))
              for name, node in functions(CLASSES["Head"].body).items()]
    return sorted(found, key=lambda each: each[0])


def names_of(arguments):
    """(positional names, names that must be given by keyword) of a definition."""
    positional = [each.arg for each in arguments.args if each.arg != "self"]
    return positional, [each.arg for each in arguments.kwonlyargs]


def backbone_type():
    """The type of backbones, from the smallest network."""
    nodes = [("in", "input", (), {"channels": 3}), ("out", "relu", ("in",), {})]
    return type(_core.backbone(nodes, {}, 8, 8, (("out", None),), 1, 1, 1.0, 0.0, "float32"))


def test_names():
    module = [name for name in public(dir(_core)) if callable(getattr(_core, name))]
    assert public(functions(stub().body)) == module
    assert public(functions(CLASSES["Head"].body)) == public(dir(type(_core.head((2, 3), 0))))
    assert public(functions(CLASSES["Backbone"].body)) == public(dir(backbone_type()))
    assert sorted(CLASSES) == ["Backbone", "Head"]


def test_signatures():
    kind = backbone_type()
    found = pairs() + [("Backbone." + name, node, getattr(kind, name))
                       for name, node in functions(CLASSES["Backbone"].body).items()]
    assert len(found) == 8 + 7 + 6
    for name, node, value in found:
        positional, keywords = names_of(node.args)
        real = collections.OrderedDict(inspect.signature(value).parameters)
        real.pop("self", None)  # of a method, which the stubs' names are without
        by_keyword = [each.name for each in real.values() if each.kind is each.KEYWORD_ONLY]
        assert (list(real), by_keyword) == (positional + keywords, keywords), name
        if not keywords:
            optional = [each.name for each in real.values() if each.default is not each.empty]
            assert optional == positional[len(positional) - len(node.args.defaults):], name


@pytest.mark.parametrize("name", ["train", "loss_gradient"])
def test_keywords_of_training(name):
    """The signature says **settings; the core knows how many there are, and which."""
    positional, keywords = names_of(functions(CLASSES["Head"].body)[name].args)
    method = getattr(_core.head((2, 3), 0), name)
    with pytest.raises(TypeError) as caught:
        method(*[None] * 60)
    count = int(re.search(r"takes at most (\d+) (?:keyword )?arguments", str(caught.value)).group(1))
    assert count == len(positional) + len(keywords)
    for keyword in keywords:
        with pytest.raises((TypeError, ValueError)) as caught:
            method(None, None, **{keyword: object()})
        assert "keyword argument" not in str(caught.value), keyword


def test_what_type_checkers_need_is_packaged():
    assert os.path.exists(os.path.join(PACKAGE, "py.typed"))
