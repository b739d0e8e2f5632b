"""Makes a newer Python behave as 3.5 does where no checker of syntax or names can see it.

As a plugin of pytest, `-p python_3_5 --assert=plain`, it takes the order from the dictionaries of the
package and of the tests.
"""
import ast
import builtins
import importlib.machinery
import json
import os
import pathlib
import sys

import gear_transfer

ROOTS = tuple(os.path.join(os.path.abspath(folder), "") for folder in (
    os.path.dirname(gear_transfer.__file__), os.path.dirname(__file__)))


def reordered(mapping):
    """The same dictionary in another order, as it may be before Python 3.6."""
    return dict(reversed(list(mapping.items())))


class _Reordering(ast.NodeTransformer):
    """Wraps what makes a dictionary: displays, comprehensions, dict(), **named parameters."""

    def _wrap(self, node):
        self.generic_visit(node)
        name = ast.copy_location(ast.Name("__reordered__", ast.Load()), node)
        return ast.copy_location(ast.Call(name, [node], []), node)

    visit_Dict = visit_DictComp = _wrap

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "dict":
            return self._wrap(node)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if node.args.kwarg is not None:
            name = node.args.kwarg.arg
            line = ast.parse("{0} = __reordered__({0})".format(name)).body[0]
            place = 1 if ast.get_docstring(node, clean=False) is not None else 0
            node.body.insert(place, ast.copy_location(line, node.body[0]))
        return node


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        path = self.get_filename(fullname)
        tree = _Reordering().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


def _path_hook(path):
    if not os.path.join(os.path.abspath(path), "").startswith(ROOTS):
        raise ImportError(path)
    return importlib.machinery.FileFinder(
        path, (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_Loader, [".py"]))


def forget_order():
    """Dictionaries that modules of the package and of the tests make have another order."""
    builtins.__reordered__ = reordered
    sys.path_hooks.insert(0, _path_hook)
    sys.path_importer_cache.clear()
    loads = json.loads

    def unordered_loads(text, *arguments, **named):
        named.setdefault("object_pairs_hook", lambda pairs: reordered(dict(pairs)))
        return loads(text, *arguments, **named)
    json.loads = unordered_loads


def _is_from_the_package(frame):
    """Whether the package called this, itself or by functions of os and shutil."""
    between = ("posixpath", "genericpath", "os", "shutil", "io")
    while frame is not None and frame.f_globals.get("__name__") in between:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(ROOTS)


def forget_paths():
    """The package gives no path of pathlib to open() and others, and no bytes to json.loads()."""
    as_text, loads = pathlib.PurePath.__fspath__, json.loads

    def checked(path):
        if _is_from_the_package(sys._getframe(1)):
            raise TypeError("Python 3.5 takes no path of pathlib here")
        return as_text(path)

    def strict_loads(text, *arguments, **named):
        if not isinstance(text, str):
            raise TypeError("the JSON object must be str")
        return loads(text, *arguments, **named)
    pathlib.PurePath.__fspath__, json.loads = checked, strict_loads


def pytest_configure():
    """What pytest calls of a plugin."""
    forget_order()
