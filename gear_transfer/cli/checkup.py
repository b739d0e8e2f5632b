"""Tests of an installation, and an estimate of what a folder of photographs costs."""
import collections
import importlib
import io
import os
import platform
import time

import numpy as np

from .. import _core
from ..common.threads import check_threads
from ..errors import GearTransferError
from ..features import golden
from ..features.precision import BOUNDS, PRECISIONS, check_precision, least_cosine

#: One thing that was looked at: its name, whether it is as it should be (None where it only
#: informs), and what was found, for a person to read.
Finding = collections.namedtuple("Finding", ["name", "ok", "detail"])

#: What computing the features of a folder takes: images, images_per_second, seconds for all,
#: peak_memory of the process in bytes, and the precision that was chosen.
Estimate = collections.namedtuple(
    "Estimate", ["images", "images_per_second", "seconds", "peak_memory", "precision"])

#: Libraries and the oldest releases that the package works with, as setup.py requires them.
_LIBRARIES = [("numpy", "numpy", (1, 11)), ("Pillow", "PIL", (7, 0)),
              ("scikit-learn", "sklearn", (0, 22)), ("matplotlib", "matplotlib", (3, 0)),
              ("tqdm", "tqdm", (4, 40))]

#: Least cosine to float32 for precisions other than float32 to count as working.
_LEAST_COSINES = dict(BOUNDS)

_SAMPLE = 48  # photographs whose time is taken
_ROOM = 100 << 20  # bytes that there should be for the cache


def check_installation(threads=None):
    """Look at everything that the package needs.

    Parameters
    ----------
    threads : int, optional
        To run with; default is the number of processors this process may use.

    Returns
    -------
    list of Finding

    Examples
    --------
    >>> from gear_transfer.cli.checkup import check_installation
    >>> [finding.name for finding in check_installation() if finding.ok is False]
    []
    """
    findings = [_python(), _processor(), _threads(threads)]
    findings += [_library(*each) for each in _LIBRARIES]
    for name, look in [("golden picture", _golden_picture), ("precisions", _precisions),
                       ("image formats", _formats), ("head", _head), ("cache", _cache),
                       ("backbones", _backbones), ("ImageNet weights", _official_weights)]:
        try:
            findings.append(Finding(name, *look(threads)))
        except (GearTransferError, ImportError, OSError, ValueError) as error:
            findings.append(Finding(name, False, str(error)))
    return findings


def check_backbone(name, preprocessing=None):
    """What is assumed of a network's file, and why.

    Parameters
    ----------
    name : str
        As `Backbone.load` takes it.
    preprocessing : str or dict, optional
        Likewise.

    Returns
    -------
    list of Finding
    """
    from ..features.backbone import find_backbone
    from ..features.settings import default_layer, default_resize, resize_rule
    from ..importers import load_network
    from ..importers.preprocessing import check_known, to_text
    from ..photographs.decoding import as_resize
    try:
        network = load_network(find_backbone(name), preprocessing=preprocessing)
    except (GearTransferError, ValueError) as error:
        return [Finding("network", False, str(error))]
    size = "size left open" if network.input_size is None else "{} x {}".format(*network.input_size)
    findings = [Finding("network", True, "{}: {} layers, {}".format(
        network.name, len(network.nodes), size))]
    try:
        check_known(network, name)
    except GearTransferError as error:
        return findings + [Finding("pixels", False, str(error))]
    findings.append(Finding("pixels", True, "{}: {}".format(
        to_text(network.preprocessing), network.preprocessing_reason)))
    rule = as_resize(resize_rule(network, default_resize(network)))
    findings.append(Finding("photographs", None, "resize='{}', {} filter".format(
        rule.rule, rule.filter)))
    layers = default_layer(network)[0]
    findings.append(Finding("layer", None, layers if isinstance(layers, str) else ", ".join(layers)))
    return findings


def _python():
    return Finding("Python", None, "{} {} on {}".format(
        platform.python_implementation(), platform.python_version(), platform.platform()))


def _processor():
    version, instructions = _core.engine_info()
    return Finding("processor", None, "{}; oneDNN {} uses {}".format(
        _processor_name(), version, instructions))


def _processor_name():
    try:
        with io.open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _threads(threads):
    limit = os.environ.get("OMP_NUM_THREADS")
    return Finding("threads", None, "{} used, of {} processors{}".format(
        check_threads(threads), os.cpu_count(),
        "; OMP_NUM_THREADS={}".format(limit) if limit else ""))


def _library(name, module, oldest):
    try:
        found = importlib.import_module(module).__version__
    except Exception as error:  # a broken installation may raise anything
        return Finding(name, False, "cannot be imported ({}): 'pip install {}'".format(error, name))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < oldest:
        wanted = ".".join(str(part) for part in oldest)
        return Finding(name, False, "{} is too old: 'pip install \"{}>={}\"'".format(
            found, name, wanted))
    return Finding(name, True, found)


def _golden_picture(threads):
    start = time.time()
    features, _ = golden.make_features(threads=threads)
    seconds = time.time() - start
    found = golden.difference(features)
    return found <= golden.BOUND, (
        "features of a known picture in float32 differ by {:.1e} of the largest, bound {:.0e}; "
        "loaded and run in {:.2f} s".format(found, golden.BOUND, seconds))


def _precisions(threads):
    known = golden.golden_features()[np.newaxis]
    wrong, found = False, []
    for precision in PRECISIONS:
        if precision in ("float32", "auto") or not _can_run(precision):
            continue
        features, _ = golden.make_features(precision, threads)
        least = least_cosine(features, np.repeat(known, len(features), axis=0))
        wrong = wrong or least < _LEAST_COSINES[precision]
        found.append("{} agrees with float32 to a cosine of {:.5f}".format(precision, least))
    _, backbone = golden.make_features("auto", threads)
    found.append("'auto' takes {} here ({})".format(backbone.precision, backbone.precision_reason))
    return not wrong, "; ".join(found)


def _can_run(precision):
    try:
        check_precision(precision)
    except ValueError:
        return False
    return True


def _formats(threads):
    from PIL import Image, features
    from ..photographs.images import read_image
    picture = golden.draw_picture()
    image = Image.fromarray(picture)
    formats = ["JPEG", "PNG", "BMP", "GIF"] + (["WebP"] if features.check("webp") else [])
    for name in formats:
        stream = io.BytesIO()
        image.save(stream, name, **({"quality": 95} if name == "JPEG" else {}))
        stream.seek(0)
        with Image.open(stream) as opened:
            read = read_image(opened, golden.SIZE).astype(int)
        if np.abs(read - picture).mean() > (0 if name in ("PNG", "BMP") else 16):
            return False, "a picture written as {} comes back as another".format(name)
    return True, ", ".join(formats) + ("" if "WebP" in formats else
                                       "; this Pillow cannot read WebP")


def _head(threads):
    from ..classifiers.head import HeadClassifier
    random = np.random.RandomState(0)
    features = np.concatenate([random.randn(40, 8), random.randn(40, 8) + 6])
    labels = np.repeat([0, 1], 40)
    head = HeadClassifier(epochs=20, validation_fraction=0, threads=threads)
    accuracy = head.fit(features, labels).score(features, labels)
    return accuracy == 1, "trained on two clusters, accuracy {:.2f}".format(accuracy)


def _cache(threads):
    from ..common.cache import FeatureCache
    try:
        cache = FeatureCache()
    except OSError as error:
        return False, "{}: set XDG_CACHE_HOME, or use cache=False".format(error)
    folder = cache.folder
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    if not os.access(folder, os.W_OK):
        return False, "{} cannot be written to: set XDG_CACHE_HOME, or use cache=False".format(
            cache.folder)
    size = os.path.getsize(cache.path) if os.path.exists(cache.path) else 0
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    return free >= _ROOM, "{}: {:.0f} MB, {:.1f} GB free".format(
        cache.path, size / 1e6, free / 1e9)


def _backbones(threads):
    from ..features.listing import backbones
    return None, "; ".join("{}: {:.1f} MB, {}, layers {} to {}, {:.2f} GFLOP an image at {} x {}".format(
        each.name, each.size / 1e6, each.licence.split(";")[0], each.layers[0], each.layers[-1],
        each.gflop, *each.input_size) for each in backbones())


def _official_weights(threads):
    from ..importers.weights import find_official_weights
    try:
        return None, find_official_weights()
    except GearTransferError:
        return None, "not here ('gear-transfer download' fetches them); the default does " \
            "without"


def estimate(folder, threads=None):
    """What it takes to compute the features of the photographs in a folder, by default settings.

    Parameters
    ----------
    folder : str or Path
        Searched to any depth.
    threads : int, optional

    Returns
    -------
    Estimate

    Raises
    ------
    DatasetError
        If there is no image in it.
    ImageError
        If none of those that are tried can be read.
    """
    from ..features.extractor import FeatureExtractor
    from ..photographs.image_set import load_images
    paths = load_images(folder, recursive=True).paths
    places = np.unique(np.linspace(0, len(paths) - 1, _SAMPLE).astype(int))
    sample = [paths[i] for i in places]
    extractor = FeatureExtractor(cache=False, threads=threads).fit()
    start = time.time()
    found = extractor.extract(sample)
    if not len(found.positions):
        raise found.failures[0][1]
    first = time.time() - start
    start = time.time()
    extractor.extract(sample)
    again = max(time.time() - start, 1e-6)
    seconds = max(first - again, 0) + len(paths) * again / len(sample)
    features = 4 * len(paths) * extractor.backbone_.n_features
    return Estimate(len(paths), len(sample) / again, seconds, _peak_memory() + 3 * features,
                    extractor.backbone_.precision)


def _peak_memory():
    """Most memory that this process has had, in bytes."""
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak
