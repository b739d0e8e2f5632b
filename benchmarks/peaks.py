"""What the machine can do: large matrix products by oneDNN, and moving memory.

The matrix product is oneDNN's own, through its C interface, in the library that our extension has
loaded: square matrices of random numbers, of the size at which it is fastest, the second operand in
the layout that oneDNN chooses.
"""
import ctypes
import statistics
import threading
import time

import numpy as np

from gear_transfer import _core  # noqa: F401  it loads the library

SIZES = (384, 768, 1536, 2048)
REPEATS = 9

# Of dnnl_types.h.
_CPU = 1
_UNDEFINED_TAG, _ANY, _AB = 0, 1, 3
_FLOAT32, _BF16, _INT8, _UINT8 = 3, 2, 5, 6
_SRC, _DST, _WEIGHTS = 1, 17, 33
_WEIGHTS_MD = 131

#: Types of the first operand, the second and the result.
_TYPES = {"float32": (_FLOAT32, _FLOAT32, _FLOAT32), "bf16": (_BF16, _BF16, _BF16),
          "int8": (_UINT8, _INT8, _FLOAT32)}
_BYTES = {_FLOAT32: 4, _BF16: 2, _INT8: 1, _UINT8: 1}


class _Argument(ctypes.Structure):
    """dnnl_exec_arg_t"""
    _fields_ = [("role", ctypes.c_int), ("memory", ctypes.c_void_p)]


def _check(code):
    if code != 0:
        raise RuntimeError("oneDNN failed with status {}".format(code))


def _random_bytes(kind, size):
    """Memory of random numbers of a type; small ones, so that no sum overflows."""
    random = np.random.RandomState(0)
    if kind in (_INT8, _UINT8):
        return random.randint(0, 100, size).astype(np.uint8)
    numbers = random.uniform(-1, 1, size // _BYTES[kind]).astype(np.float32)
    return numbers if kind == _FLOAT32 else (numbers.view(np.uint32) >> 16).astype(np.uint16)


class _Product:
    """A matrix product of oneDNN."""

    def __init__(self, precision, size):
        self._size = size
        self._library = ctypes.CDLL("libdnnl.so.3")
        self._library.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
        self._library.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
        self._library.dnnl_primitive_desc_query_md.argtypes = [ctypes.c_void_p, ctypes.c_int,
                                                               ctypes.c_int]
        self._engine = self._new("dnnl_engine_create", _CPU, ctypes.c_size_t(0))
        self._stream = self._new("dnnl_stream_create", self._engine, 1)
        kinds = _TYPES[precision]
        descriptions = [self._describe(kind, tag) for kind, tag in zip(kinds, (_AB, _ANY, _AB))]
        description = self._new("dnnl_matmul_primitive_desc_create", self._engine, descriptions[0],
                                descriptions[1], None, descriptions[2], None)
        descriptions[1] = ctypes.c_void_p(
            self._library.dnnl_primitive_desc_query_md(description, _WEIGHTS_MD, 0))
        self._primitive = self._new("dnnl_primitive_create", description)
        self._numbers = [_random_bytes(kind, self._library.dnnl_memory_desc_get_size(each))
                         for kind, each in zip(kinds, descriptions)]
        memories = [self._new("dnnl_memory_create", each, self._engine,
                              ctypes.c_void_p(numbers.ctypes.data))
                    for each, numbers in zip(descriptions, self._numbers)]
        self._arguments = (_Argument * 3)(*[
            (role, memory.value) for role, memory in zip((_SRC, _WEIGHTS, _DST), memories)])

    def _new(self, function, *arguments):
        """The object that a function of oneDNN makes; it lives as long as the process."""
        made = ctypes.c_void_p()
        _check(getattr(self._library, function)(ctypes.byref(made), *arguments))
        return made

    def _describe(self, kind, tag):
        return self._new("dnnl_memory_desc_create_with_tag", 2,
                         (ctypes.c_int64 * 12)(self._size, self._size), kind, tag)

    def run(self):
        _check(self._library.dnnl_primitive_execute(self._primitive, self._stream, 3,
                                                    self._arguments))
        _check(self._library.dnnl_stream_wait(self._stream))


def _fastest(run):
    """Seconds of the fastest of several runs after one that does not count."""
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def matrix_product(precision, threads=1):
    """Operations a second, in 10^9, of a large matrix product.

    Parameters
    ----------
    precision : {"float32", "bf16", "int8"}
    threads : int

    Returns
    -------
    float
    """
    ctypes.CDLL("libgomp.so.1").omp_set_num_threads(threads)
    return max(2 * size ** 3 / _fastest(_Product(precision, size).run) for size in SIZES) / 1e9


def _in_threads(work, threads):
    """Run work(number) in threads at once."""
    started = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def copying(size, threads=1):
    """Bytes a second, in 10^9, read plus written, of copying `size` bytes over and over.

    Parameters
    ----------
    size : int
        Of what is read; shared out over the threads.
    threads : int

    Returns
    -------
    float
    """
    part = size // 4 // threads
    sources = [np.ones(part, np.float32) for _ in range(threads)]
    targets = [np.zeros(part, np.float32) for _ in range(threads)]
    times = max(1, (1 << 28) // size)

    def work(number):
        for _ in range(times):
            np.copyto(targets[number], sources[number])

    return 2 * 4 * part * threads * times / _fastest(lambda: _in_threads(work, threads)) / 1e9


def reading(array, threads=1):
    """Bytes a second, in 10^9, of reading a large array from end to end.

    Parameters
    ----------
    array : ndarray of float32, contiguous
    threads : int

    Returns
    -------
    float
        The median of several readings, each the maximum of every block of 4 MB.
    """
    flat = array.reshape(-1)
    block = 1 << 20

    def work(number):
        for start in range(number * block, len(flat), threads * block):
            flat[start:start + block].max()

    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        _in_threads(work, threads)
        seconds.append(time.perf_counter() - started)
    return flat.nbytes / statistics.median(seconds) / 1e9
