"""Small projects that the real setup.py builds, and commands that run in them."""
import os
import shutil
import subprocess
import sys

from conftest import ROOT

MODULE = """
#include <Python.h>
#include "common/number.h"
static PyObject *number(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(GT_NUMBER + gt_other());
}
static PyMethodDef methods[] = {{"number", number, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, .m_name = "_core", .m_methods = methods};
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void)
{
    return PyModule_Create(&def);
}
"""

SOURCES = {
    "csrc/common/number.h": "#define GT_NUMBER 40\nint gt_other(void);\n",
    "csrc/common/number.c": "#include \"common/other.h\"\n#include \"common/number.h\"\n"
                            "int gt_other(void)\n{\n    return GT_OTHER;\n}\n",
    "csrc/common/other.h": "#define GT_OTHER 2\n",
    "csrc/python/module.c": MODULE,
}


def write(folder, name, text):
    """Write a file of a project, with the folders above it."""
    path = os.path.join(folder, name)
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    with open(path, "w") as stream:
        stream.write(text)
    return path


def make_project(folder):
    """A project of the real setup.py, an empty package and a core of two small files."""
    os.makedirs(folder)
    shutil.copy(os.path.join(ROOT, "setup.py"), folder)
    for name, text in SOURCES.items():
        write(folder, name, text)
    write(folder, "gear_transfer/__init__.py", '__version__ = "4.5.6"\n')
    return folder


def run(*command, **options):
    """What a command prints, with its errors; it must succeed unless `code` says otherwise."""
    code = options.pop("code", 0)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    output = process.communicate()[0].decode("utf-8", "replace")
    assert process.returncode == code, output
    return output


def build(folder, *options, **environment):
    """Build the core of a project in place; with `code` it must end with that."""
    code = environment.pop("code", 0)
    return run(sys.executable, "-W", "ignore", "setup.py", "build_ext", "--inplace", *options,
               cwd=folder, code=code, env=dict(os.environ, **environment))


def copy_sources(folder, *left_out):
    """A copy of what of this project is not made by a build."""
    def ignored(place, names):
        return [name for name in names if name in left_out or name in (
            "build", "dist", ".git", ".eggs", "__pycache__", ".pytest_cache", "compile_commands.json"
        ) or name.endswith((".so", ".so.3", ".egg-info", "-oneDNN.txt"))]
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder
