"""The rules of safety that can be seen in the source, and the table in SECURITY.md."""
import ast
import os
import re

import pytest

from conftest import HOME, ROOT

PACKAGE = os.path.join(HOME, "gear_transfer")

#: Modules that unpickle, run what is in data, or unpack archives.
FORBIDDEN_MODULES = ("pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "yaml", "zipfile",
                     "tarfile", "torch", "onnx", "h5py", "code", "codeop", "runpy", "subprocess")
#: Calls of names that do the same.
FORBIDDEN_CALLS = ("eval", "exec", "compile", "__import__", "execfile")
#: Methods that unpack archives or evaluate, and functions of os that start something.
FORBIDDEN_METHODS = ("extractall", "unpack_archive", "literal_eval")
#: What the file that reads archives may not call either.
FORBIDDEN_IN_ARCHIVES = ("extract", "extractall", "ZipPath")
FORBIDDEN_IN_OS = ("system", "popen", "execv", "execve", "spawnv", "posix_spawn", "startfile")
#: Modules that may open a connection, and the one file that has one.
NETWORK = ("socket", "urllib.request", "http", "ftplib", "requests")
DOWNLOADS = os.path.join("importers", "download.py")
#: The one file that reads members of archives, into memory and with a cap.
ARCHIVES = os.path.join("importers", "keras", "archive.py")

#: Files that may import one module more. They write other programs' files and read none, or listen where
#: the caller says and connect to nothing.
EXCEPTIONS = {os.path.join("exporters", "onnx_model.py"): ["onnx"],
              os.path.join("exporters", "keras_file.py"): ["h5py", "zipfile"],
              os.path.join("serving", "server.py"): ["socket"]}
#: What those files may not call.
READING = {"load", "load_model", "extract", "ZipPath", "connect", "create_connection",
           "connect_ex"}
#: The one file that parses a message of the package onnx, and all that it may import of it.
MESSAGES = os.path.join("importers", "onnx", "model_file.py")


def sources():
    """(path within the package, syntax tree) of each file."""
    found = []
    for folder, _, names in os.walk(PACKAGE):
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as stream:
                    found.append((os.path.relpath(path, PACKAGE), ast.parse(stream.read())))
    return found


def imported(node):
    """Names of the modules that a statement imports; of onnx with what is imported from it."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        if node.module == "onnx":
            return ["onnx." + alias.name for alias in node.names]
        return [node.module or ""]
    return []


def is_one_of(module, names):
    return any(module == name or module.startswith(name + ".") for name in names)


def breaches(tree, may_connect=False, may_read_archives=False, may_parse_messages=False):
    """What breaks a rule in a syntax tree, list of str."""
    found = []
    for node in ast.walk(tree):
        found += [name for name in imported(node) if is_one_of(name, FORBIDDEN_MODULES)
                  and not (name == "zipfile" and may_read_archives)
                  and not (name == "onnx.ModelProto" and may_parse_messages)
                  or is_one_of(name, NETWORK) and not may_connect]
        if (may_read_archives and isinstance(node, ast.Attribute)
                and node.attr in FORBIDDEN_IN_ARCHIVES):
            found.append(node.attr)
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(node.func.id)
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr in FORBIDDEN_METHODS:
                found.append(node.func.attr)
            if owner == "os" and node.func.attr in FORBIDDEN_IN_OS:
                found.append("os." + node.func.attr)
            if owner in ("np", "numpy") and node.func.attr == "load" and not any(
                    keyword.arg == "allow_pickle" and getattr(
                        keyword.value, "value", None) is False for keyword in node.keywords):
                found.append("np.load without allow_pickle=False")
    return found


def test_nothing_in_the_package_runs_or_unpacks_data():
    found = sources()
    assert len(found) > 30
    for path, tree in found:
        allowed = EXCEPTIONS.get(path, [])
        assert [each for each in breaches(
            tree, path == DOWNLOADS, path == ARCHIVES, path == MESSAGES)
                if each not in allowed] == [], path
        if allowed:
            called = set(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
            assert not called & READING, path
    assert breaches(ast.parse("archive.extract(name)"), may_read_archives=True)


@pytest.mark.parametrize("text", [
    "import pickle", "from torch import load", "import zipfile", "eval(text)", "archive.extractall()",
    "np.load(path)", "np.load(path, allow_pickle=True)", "import socket", "os.system(text)",
    "import h5py", "from urllib.request import urlopen"])
def test_a_breach_is_seen(text):
    assert breaches(ast.parse(text))


def test_the_table_of_rules_names_tests_that_exist():
    with open(os.path.join(ROOT, "SECURITY.md"), encoding="utf-8") as stream:
        text = stream.read()
    rows = re.findall(r"^\| ([0-9]+) \|(.*)\|$", text, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 11))
    for number, row in rows:
        named = re.findall(r"`(test_[a-z0-9_]+\.(?:py|c))(?:::(\w+))?`", row)
        assert named, "rule {} has no test".format(number)
        for name, function in named:
            place = os.path.join(ROOT, "tests", "core" if name.endswith(".c") else "", name)
            with open(place, encoding="utf-8") as stream:
                assert "{}(".format(function) in stream.read(), (name, function)
