"""Feature extraction by the workers of an executor: threads, processes or other machines.

The executor is anybody's (concurrent.futures, loky, Dask's
``Client.get_executor()``, mpi4py's): what is here cuts the work into chunks and
says what a worker does with one. Chunks are whole batches of the batches that a
run without an executor would make, so each photograph is computed beside the
same others and its features are the same, bit for bit, at the same number of
threads on the same kind of processor.
"""
import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import copy
import os
import platform
import sys
import threading

import numpy as np

from ..common.arguments import is_path
from ..common.threads import as_completed, check_threads, result_of
from ..errors import EngineError, ImageError, WeightsError
from ..photographs.hashes import KnownContents
from .backbone import Backbone
from .extraction import iterate_features

#: All that decides the features, and how a worker runs. `threads` is None for a worker's share of
#: its machine's processors, of which `sharing` workers are expected on each machine.
Task = collections.namedtuple("Task", [
    "backbone", "fingerprint", "layer", "input_size", "pooling", "precision", "ranges", "rounding",
    "resize", "batch_size", "augmentation", "threads", "sharing", "preprocessing"])

#: Chunks that a run should at least be cut into, where it is long enough, so that a few hundred
#: workers are all at work to the end; and most batches in one.
_CHUNKS = 1000
_MOST_BATCHES = 8

_CHANGED = "its file was changed after it was hashed"

#: Backbones that a worker process keeps.
_MOST_BACKBONES = 2
_backbones = collections.OrderedDict()
_loading = threading.Lock()


class KeepsExecutor(object):
    """An estimator whose parameter ``executor`` is shared by clones and left out of pickles.

    An executor holds locks and processes, which can be neither copied nor pickled.
    """

    def __getstate__(self):
        return dict(super().__getstate__(), executor=None)

    def __sklearn_clone__(self):  # scikit-learn 1.3 and newer
        from sklearn.base import BaseEstimator
        cloned = BaseEstimator.__sklearn_clone__(copy.copy(self))
        cloned.executor = self.executor
        return cloned


def check_executor(executor):
    """Refuse what is no executor.

    Raises
    ------
    TypeError
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError("executor must have the method submit of concurrent.futures.Executor (of "
                        "Dask: client.get_executor()), not be a {}".format(
                            type(executor).__name__))


def make_task(backbone, resize, batch_size, threads, executor, augmentation=None):
    """What the workers of an executor must know.

    Parameters
    ----------
    backbone : Backbone
        Its precision is decided.
    resize : {"pad", "stretch", "crop"} or Resize
    batch_size : int
    threads : int or None
    executor : concurrent.futures.Executor
    augmentation : Augmentation, optional

    Returns
    -------
    Task
    """
    in_threads = isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    sharing = 1 if in_threads else getattr(executor, "_max_workers", None) or 1
    name = os.path.abspath(backbone.name) if os.path.isfile(backbone.name) else backbone.name
    return Task(name, backbone.fingerprint(), backbone.layer, backbone.input_size,
                backbone.pooling, backbone.precision, backbone.ranges, backbone.rounding(), resize,
                batch_size, augmentation, threads, sharing, backbone.preprocessing)


def iterate_chunks(executor, task, images, contents=None):
    """Compute features by an executor, in the order in which they come back.

    Wrap it in ``contextlib.closing`` where the loop may be left early: closing
    cancels what has not begun.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    task : Task
    images : sequence
        Paths, or images as `read_image` takes them, which then travel themselves.
    contents : KnownContents, optional
        See `iterate_batches`.

    Yields
    ------
    indices : int ndarray of shape (n,)
        Positions in `images` of what was read.
    features : float32 ndarray of shape (n, d)
    failures : list of (int, ImageError)

    Raises
    ------
    EngineError
        If a worker of a process pool has died; others repeat its work elsewhere.
    """
    size = _chunk_size(len(images), task.batch_size)
    expected = [None] * len(images) if contents is None else contents.expected
    chunks = [(start, [_travelling(image, content) for image, content in zip(
        images[start:start + size], expected[start:start + size])])
        for start in range(0, len(images), size)]
    try:
        changed = []
        with contextlib.closing(_results(executor, task, chunks, images)) as results:
            for indices, features, failures in results:
                changed.extend(i for i, error in failures if error.reason == _CHANGED)
                yield indices, features, [failure for failure in failures
                                          if failure[1].reason != _CHANGED]
        # Once more, as they are now.
        if changed:
            contents.changed.update(changed)
            chunks = [(i, [_travelling(images[i])]) for i in changed]
            with contextlib.closing(_results(executor, task, chunks, images)) as results:
                for result in results:
                    yield result
    except concurrent.futures.process.BrokenProcessPool as error:
        raise EngineError("a worker process has died, and with it its pool. Was there enough "
                          "memory? And has the script \"if __name__ == '__main__':\" around what "
                          "it does? New processes import it and would do it again. What was computed before is in the cache, if there is one: "
                          "run again with a new executor to go on") from error


def _results(executor, task, chunks, images):
    """What `iterate_chunks` yields, of chunks that are pairs of a position and some images."""
    starts = {}
    try:
        for start, chunk in chunks:
            starts[executor.submit(extract_chunk, task, chunk)] = start
        for future in as_completed(list(starts)):
            indices, features, failures = result_of(future)
            start = starts.pop(future)
            yield (start + indices, features, [
                (start + i, ImageError(str(images[start + i]) if is_path(images[start + i])
                                       else path, reason)) for i, path, reason in failures])
    finally:
        for future in starts:
            future.cancel()


class HashedPath(str):
    """A path that carries what its file held when it was hashed, or None, as ``content``."""

    content = None


def _travelling(image, content=None):
    """The image as it goes to a worker, a path so that it holds in any working folder."""
    if not is_path(image):
        return image
    path = HashedPath(os.path.abspath(str(image)))
    path.content = content
    return path


def _chunk_size(n, batch_size):
    """Images in a chunk, a multiple of the batch."""
    batches = -(-n // batch_size)
    return batch_size * min(max(batches // _CHUNKS, 1), _MOST_BATCHES)


def extract_chunk(task, images):
    """Compute the features of one chunk; runs in a worker.

    Parameters
    ----------
    task : Task
    images : sequence

    Returns
    -------
    indices : int ndarray of shape (n,)
    features : float32 ndarray of shape (n, d)
    failures : list of (int, str, str)
        Position, path and reason of each image that cannot be read, or whose file was changed
        since it was hashed.
    """
    backbone = _loaded(task)
    contents = KnownContents([getattr(image, "content", None) if is_path(image) else None
                              for image in images])
    indices, features, failures = [], [], []
    found = iterate_features(backbone, images, task.resize, task.batch_size, backbone.threads,
                             task.augmentation, contents=contents)
    with contextlib.closing(found):
        for some, their_features, failed in found:
            changed = sorted(contents.changed.intersection(some.tolist()))
            indices.append(some[~np.isin(some, changed)])
            features.append(their_features[~np.isin(some, changed)])
            failures.extend((i, error.path, error.reason) for i, error in failed)
            failures.extend((i, str(images[i]), _CHANGED) for i in changed)
    return np.concatenate(indices), np.concatenate(features), failures


def _loaded(task):
    """The task's backbone, loaded once in a process."""
    key = task._replace(resize=None, batch_size=None, augmentation=None,
                        preprocessing=None)  # which the fingerprint has
    with _loading:
        if key not in _backbones:
            backbone = Backbone.load(
                task.backbone, layer=task.layer, input_size=task.input_size, pooling=task.pooling,
                threads=task.threads or share_of_processors(task.sharing),
                precision=task.precision, ranges=task.ranges,
                preprocessing=task.preprocessing)
            if backbone.fingerprint() != task.fingerprint:
                raise WeightsError("{}: the weights that the worker on {} finds under this name are "
                                   "others than the caller's".format(
                                       task.backbone, platform.node()))
            if backbone.rounding() != task.rounding:
                raise EngineError("the processor of the worker on {} rounds int8 otherwise than the "
                                  "caller's (one of them has VNNI or AMX): use precision='float32' where "
                                  "processors differ".format(platform.node()))
            _backbones[key] = backbone
        _backbones.move_to_end(key)
        while len(_backbones) > _MOST_BACKBONES:
            _backbones.popitem(last=False)
        return _backbones[key]


def share_of_processors(sharing):
    """Threads that this worker should use.

    Parameters
    ----------
    sharing : int
        Workers on this machine, as far as the caller knows.

    Returns
    -------
    int
        A Dask worker's own number of threads; elsewhere an even share.
    """
    dask = sys.modules.get("distributed")
    if dask is not None:
        with contextlib.suppress(ValueError):  # this process is no worker of Dask's
            return dask.get_worker().state.nthreads
    return max(1, check_threads(None) // sharing)
