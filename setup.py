"""Build of the extension module; what the package is stands in setup() below."""
import glob
import json
import multiprocessing.pool
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = os.path.dirname(os.path.abspath(__file__))
ONEDNN_ROOT = os.environ.get("ONEDNN_ROOT")

#: By this name the extension asks for oneDNN, every release of 3.x.
ONEDNN_LIBRARY = "libdnnl.so.3"

BUILDING = {"bdist_wheel", "build", "build_ext", "develop", "editable_wheel", "install"}


def stop(reason):
    """End the build with one sentence."""
    sys.exit("error: " + reason)


def check_pip():
    """Stop where pip is too old to read pyproject.toml; such a pip runs this file by 'python -c'."""
    if sys.argv[0] != "-c":
        return
    try:
        from pip import __version__ as version
    except ImportError:
        return
    if int(version.split(".")[0]) < 19:
        stop("pip 19 or newer is needed: python -m pip install 'pip==20.3.4'")


def onednn_version():
    """The release on PyPI that runs with this C library: 2023.2.0 needs glibc 2.27."""
    try:
        # platform.libc_ver() of old Pythons reports what the interpreter needs, not what there is.
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, OSError, ValueError):
        return "2023.2.0"
    numbers = tuple(int(part) for part in version.split(".")[:2])
    return "2023.0.0" if name == "glibc" and numbers < (2, 27) else "2023.2.0"


def onednn_requirements(*packages):
    """Requirements for those packages, none where ONEDNN_ROOT names another oneDNN."""
    if ONEDNN_ROOT:
        return []
    return ["{}=={}".format(package, onednn_version()) for package in packages]


def onednn_places():
    """Folders that may hold include/ and lib/, best first."""
    if ONEDNN_ROOT:
        return [os.path.abspath(ONEDNN_ROOT)]
    places = [os.path.dirname(os.path.dirname(path)) for path in os.environ.get(
        "PATH", "").split(os.pathsep) if os.path.basename(path) == "bin"]
    places += [os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(path))))
               for path in sys.path if os.path.basename(path) == "site-packages"]
    places += [os.path.join(path, "..", "..", "..") for path in sys.path]
    places += [sys.prefix, sysconfig.get_config_var("base") or sys.prefix]
    return [os.path.normpath(place) for place in places if place]


def find_onednn(what, *names):
    """The folder of the first place in which one of the files is found."""
    places = onednn_places()
    for place in places:
        for name in names:
            if os.path.exists(os.path.join(place, name)):
                return os.path.dirname(os.path.join(place, name))
    if ONEDNN_ROOT:
        stop("oneDNN's {} was not found in {}, which ONEDNN_ROOT names: it must hold include/ and "
             "lib/ of oneDNN 3.x.".format(what, places[0]))
    stop("oneDNN's {} was not found: 'pip install {}', or set ONEDNN_ROOT to a folder with include/ "
         "and lib/ of oneDNN 3.x.".format(what, " ".join(
             onednn_requirements("onednn-devel-cpu-gomp", "onednn-cpu-gomp"))))


def find_onednn_folders():
    """The folders of oneDNN's header and of its library."""
    include = find_onednn("header", os.path.join("include", "oneapi", "dnnl", "dnnl.h"))
    library = find_onednn("library", os.path.join("lib", "libdnnl.so"),
                          os.path.join("lib64", "libdnnl.so"))
    return os.path.dirname(os.path.dirname(include)), library


def check_tools():
    """Stop before the build where something that it needs is missing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        stop("the C compiler '{}' was not found: install one ('apt-get install gcc' on Debian and "
             "Ubuntu) or name it in CC.".format(compiler))
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if not os.path.exists(header):
        stop("Python's header {} was not found: install it ('apt-get install python3-dev' on "
             "Debian and Ubuntu).".format(header))
    find_onednn_folders()


def knows_matrix_units(compiler):
    """Whether the assembler knows AMX's instructions; it can be older than the compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w") as file:
            file.write('void probe(void) { __asm__ volatile("tilerelease"); }\n')
        command = compiler + ["-c", source, "-o", os.path.join(folder, "probe.o")]
        return subprocess.call(command, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL) == 0


def listed_prerequisites(path):
    """The files that a compiler's list of prerequisites (option -MMD) names; None without a list."""
    try:
        with open(path, "rb") as file:
            text = os.fsdecode(file.read())
    except FileNotFoundError:
        return None
    names = re.split(r"(?<!\\)\s+", text.replace("\\\n", " ").split(": ", 1)[-1].strip())
    return [re.sub(r"\\([ #])", r"\1", name).replace("$$", "$") for name in names]


class Compilation:
    """One source compiled to one object, unless that is newer than all it was made from."""

    def __init__(self, compiler, source, target, options, arguments):
        self.compiler, self.source, self.target = compiler, source, target
        self.options, self.arguments = options, arguments
        self.base = os.path.splitext(target)[0]

    @property
    def command(self):
        """The compiler and its arguments, as they will be run."""
        return (self.compiler.compiler_so + self.options + [self.source, "-o", self.target]
                + self.arguments)

    def is_current(self):
        """Whether the object was made by this command from files that have not changed since."""
        files = listed_prerequisites(self.base + ".d")
        try:
            with open(self.base + ".command", encoding="utf-8") as file:
                same_command = file.read() == json.dumps(self.command)
            made = os.path.getmtime(self.target)
            return same_command and files is not None and all(
                os.path.getmtime(name) < made for name in files)
        except FileNotFoundError:
            return False

    def run(self):
        """Compile if need be."""
        if self.is_current():
            return
        record = self.base + ".command"
        if os.path.exists(record):
            os.remove(record)
        self.compiler._compile(self.target, self.source, ".c", self.options, self.arguments, [])
        with open(record, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.command))


class BuildCore(build_ext):
    """Compiles what changed, on all cores, and puts oneDNN's library beside the extension."""

    user_options = build_ext.user_options + [
        ("compile-commands", None, "also write compile_commands.json, for editors and analysers")]
    boolean_options = build_ext.boolean_options + ["compile-commands"]

    def initialize_options(self):
        super().initialize_options()
        self.compile_commands = False

    def run(self):
        super().run()
        if not ONEDNN_ROOT:
            for source, target in zip(self.library_sources(), self.library_outputs()):
                self.copy_library_file(source, target)

    def library_sources(self):
        """oneDNN's library and its licences."""
        folder = find_onednn_folders()[1]
        texts = os.path.join(os.path.dirname(folder), "share", "doc", "onednn")
        return [os.path.join(folder, ONEDNN_LIBRARY), os.path.join(texts, "LICENSE"),
                os.path.join(texts, "THIRD-PARTY-PROGRAMS")]

    def library_outputs(self):
        """Where these are to lie, beside the extension."""
        folder = os.path.dirname(self.get_ext_fullpath(CORE.name))
        return [os.path.join(folder, name) for name in (
            ONEDNN_LIBRARY, "LICENSE-oneDNN.txt", "THIRD-PARTY-PROGRAMS-oneDNN.txt")]

    def get_outputs(self):
        return super().get_outputs() + ([] if ONEDNN_ROOT else self.library_outputs())

    def copy_library_file(self, source, target):
        """Copy a file without symbols for debuggers, which are a fifth of oneDNN's library."""
        if os.path.exists(target) and os.path.getmtime(target) >= os.path.getmtime(source):
            return
        unfinished = target + ".part"
        shutil.copyfile(source, unfinished)
        if target.endswith(ONEDNN_LIBRARY) and shutil.which("strip"):
            subprocess.call(["strip", "--strip-unneeded", unfinished])
        os.replace(unfinished, target)  # a process may have mapped the library that lies there

    def build_extensions(self):
        import numpy
        include, library = find_onednn_folders()
        for extension in self.extensions:
            extension.include_dirs += [numpy.get_include(), include]
            extension.library_dirs.append(library)
            if not knows_matrix_units(self.compiler.compiler_so):
                extension.define_macros.append(("GT_WITHOUT_AMX", None))
        self.search_first(library if ONEDNN_ROOT else "$ORIGIN")
        self.force = True  # each object is looked at by itself, and linking is cheap
        self.compiler.force = True
        self.compiler.compile = self.compile_changed
        super().build_extensions()

    def search_first(self, folder):
        """Let the extension look for libraries there before the folders of Python's own linking."""
        linker = self.compiler.linker_so
        place = next((i for i, word in enumerate(linker) if word.startswith("-")), len(linker))
        self.compiler.linker_so = (linker[:place] + ["-Wl,-rpath," + folder] + linker[place:])

    def compile_changed(self, sources, output_dir=None, macros=None, include_dirs=None, debug=False,
                        extra_preargs=None, extra_postargs=None, depends=None):
        """In place of the compiler's own compile(), which compiles all sources one after another."""
        compiler = self.compiler
        _, objects, arguments, options, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs)
        options = compiler._get_cc_args(options, debug, extra_preargs)
        tasks = [Compilation(compiler, build[target][0], target, options, arguments)
                 for target in objects]
        if self.compile_commands:
            write_compile_commands(tasks)
        with multiprocessing.pool.ThreadPool(
                int(self.parallel or len(os.sched_getaffinity(0)))) as pool:
            for _ in pool.imap_unordered(Compilation.run, tasks):
                pass
        return objects


def write_compile_commands(tasks):
    """The compilation database that clangd, clang-tidy and others read."""
    entries = [{"directory": HERE, "file": task.source, "output": task.target,
                "arguments": task.command} for task in tasks]
    with open(os.path.join(HERE, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1)


CORE = Extension(
    "gear_transfer._core",
    sources=sorted(glob.glob("csrc/**/*.c", recursive=True)),
    include_dirs=["csrc"],
    define_macros=[("_GNU_SOURCE", None)],
    extra_compile_args=["-std=c11", "-O3", "-fno-math-errno", "-fopenmp", "-fvisibility=hidden",
                        "-Wall", "-Wextra", "-MMD"]
    + os.environ.get("GEAR_TRANSFER_CFLAGS", "").split(),
    extra_link_args=["-fopenmp"],
    libraries=["dnnl"],
)


def read(name):
    """The text of a file beside this one."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def version():
    """The version of the package, which is written in its __init__.py and nowhere else."""
    return re.search(r'^__version__ = "(.+)"$', read("gear_transfer/__init__.py"), re.MULTILINE).group(1)


#: What `gear-transfer serve` needs.
SERVE = ["python-multipart>=0.0.5", "starlette>=0.27", "uvicorn>=0.22"]

check_pip()
if BUILDING & set(sys.argv):
    check_tools()

setup(
    name="gear-transfer",
    version=version(),
    description="Photographs in, a trained classifier out, on an ordinary CPU.",
    long_description=read("README.md") if os.path.exists(os.path.join(HERE, "README.md")) else "",
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["gear_transfer", "gear_transfer.*"]),
    package_data={"gear_transfer": ["data/*", "py.typed", "_core.pyi"]},
    ext_modules=[CORE],
    cmdclass={"build_ext": BuildCore},
    python_requires=">=3.5",
    setup_requires=[] if "sdist" in sys.argv else onednn_requirements(
        "onednn-devel-cpu-gomp", "onednn-cpu-gomp"),
    install_requires=[
        "numpy>=1.11",
        "Pillow>=7.0",
        "scikit-learn>=0.22",
        "matplotlib>=3.0",
        "tqdm>=4.40",
    ],
    extras_require={
        "docs": ["furo", "sphinx>=5.0"],
        "hub": ["ipykernel>=5.5", "ipywidgets>=8.0", "jupyterhub>=5.0", "jupyterlab>=4.0",
                "nbclassic>=1.0", "psutil", "selenium>=4.10"],
        "keras": ["h5py>=2.10"],
        "onnx": ["onnx>=1.10"],
        "serve": SERVE,
        "notebook": ["nbconvert>=5.6", "ipykernel>=5.5"],
        "test": ["h5py>=2.10", "pandas>=0.25", "pytest>=6.1", "pytest-xdist>=1.34",
                 "setuptools>=40.8",
                 "onnx>=1.14; python_version >= '3.9'",
                 "onnxruntime>=1.15; python_version >= '3.9'",
                 "dask>=2022.2; python_version >= '3.9'",
                 "distributed>=2022.2; python_version >= '3.9'",
                 "ipywidgets>=8.0; python_version >= '3.9'"]
                + [each + "; python_version >= '3.9'" for each in SERVE] + onednn_requirements(
                     "onednn-devel-cpu-gomp", "onednn-cpu-gomp"),
        "widgets": ["ipywidgets>=7.5"],
    },
    entry_points={"console_scripts": ["gear-transfer = gear_transfer.cli:main"]},
    zip_safe=False,
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
