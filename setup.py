"""Build of the extension module; what the package is stands in setup() below."""
import glob
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = os.path.dirname(os.path.abspath(__file__))
ONEDNN_ROOT = os.environ.get("ONEDNN_ROOT")

BUILDING = {"bdist_wheel", "build", "build_ext", "develop", "editable_wheel", "install"}


def stop(reason):
    """End the build with one sentence."""
    sys.exit("error: " + reason)


def onednn_version():
    """The release on PyPI that runs with this C library: 2023.2.0 needs glibc 2.27."""
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
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


class BuildCore(build_ext):
    """Finds NumPy and oneDNN, which may have been installed for this build only."""

    def finalize_options(self):
        super().finalize_options()
        self.built_in_place = self.inplace  # setuptools clears it while building

    def build_extensions(self):
        import numpy
        include, library = find_onednn_folders()
        for extension in self.extensions:
            extension.include_dirs += [numpy.get_include(), include]
            extension.library_dirs.append(library)
            if ONEDNN_ROOT:
                extension.runtime_library_dirs.insert(0, library)
            elif self.built_in_place:
                extension.runtime_library_dirs += [os.path.join(sys.prefix, "lib"), library]
            if not knows_matrix_units(self.compiler.compiler_so):
                extension.define_macros.append(("GT_WITHOUT_AMX", None))
        super().build_extensions()


CORE = Extension(
    "gear_transfer._core",
    sources=sorted(glob.glob("csrc/**/*.c", recursive=True)),
    depends=sorted(glob.glob("csrc/**/*.h", recursive=True)),
    include_dirs=["csrc"],
    define_macros=[("_GNU_SOURCE", None)],
    extra_compile_args=["-std=c11", "-O3", "-fno-math-errno", "-fopenmp", "-fvisibility=hidden", "-Wall", "-Wextra"]
    + os.environ.get("GEAR_TRANSFER_CFLAGS", "").split(),
    extra_link_args=["-fopenmp"],
    libraries=["dnnl"],
    # <prefix>/lib as seen from <prefix>/lib/pythonX.Y/site-packages/gear_transfer
    runtime_library_dirs=["$ORIGIN/../../../../lib"],
)


def read(name):
    """The text of a file beside this one."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


if BUILDING & set(sys.argv):
    check_tools()

setup(
    name="gear-transfer",
    version="0.1.0",
    description="Photographs in, a trained classifier out, on an ordinary CPU.",
    long_description=read("README.md") if os.path.exists(os.path.join(HERE, "README.md")) else "",
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["gear_transfer", "gear_transfer.*"]),
    package_data={"gear_transfer": ["data/*"]},
    ext_modules=[CORE],
    cmdclass={"build_ext": BuildCore},
    python_requires=">=3.5",
    setup_requires=onednn_requirements("onednn-devel-cpu-gomp", "onednn-cpu-gomp"),
    install_requires=[
        "numpy>=1.11",
        "Pillow>=7.0",
        "scikit-learn>=0.22",
        "matplotlib>=3.0",
        "tqdm>=4.40",
    ] + onednn_requirements("onednn-cpu-gomp"),
    extras_require={
        "docs": ["furo", "sphinx>=5.0"],
        "hub": ["ipykernel>=5.5", "ipywidgets>=8.0", "jupyterhub>=5.0", "jupyterlab>=4.0",
                "nbclassic>=1.0", "psutil", "selenium>=4.10"],
        "notebook": ["nbconvert>=5.6", "ipykernel>=5.5"],
        "test": ["h5py>=2.10", "pandas>=0.25", "pytest>=6.1",
                 "pytest-xdist>=1.34",
                 "dask>=2022.2; python_version >= '3.9'",
                 "distributed>=2022.2; python_version >= '3.9'",
                 "ipywidgets>=8.0; python_version >= '3.9'"] + onednn_requirements(
                     "onednn-devel-cpu-gomp"),
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
