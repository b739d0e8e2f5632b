"""Operations of ONNX on arrays that are known before an image is: sizes above all, and weights.

Each function takes an `Operation` whose inputs are all known and returns the array, or a list of
arrays where there are several results.
"""
import numpy as np

#: Numbers that a result may have which is not a view of an operand.
MOST_NUMBERS = 1 << 27

_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64,
          9: np.bool_, 10: np.float32, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.float32}


def number_type(op, number):
    """The dtype for a number of ONNX; half precision is computed in single."""
    if number not in _TYPES:
        op.fail("casts to type {} of numbers, which is not supported".format(number))
    return _TYPES[number]


def _bounded(op, *shape):
    count = 1
    for side in shape:
        count *= max(int(side), 0)
    if count > MOST_NUMBERS:
        op.fail("makes {} numbers before an image is there, at most {} are allowed".format(
            count, MOST_NUMBERS))


def _elementwise(function):
    def fold(op):
        arrays = op.arrays()
        shape = np.broadcast(*arrays).shape
        strided = any(0 in array.strides for array in arrays if array.size > 1)
        if strided and len(arrays) <= 2 and len(shape) and shape[0] > 1:
            # Repeated for each image of the batch: compute it once.
            cut = [array[:1] if array.ndim == len(shape) else array for array in arrays]
            if all(array.ndim < len(shape) or array.shape[0] == 1 or array.strides[0] == 0
                   for array in arrays):
                _bounded(op, *shape[1:])
                return np.broadcast_to(function(*cut), shape)
        _bounded(op, *shape)
        return function(*arrays)
    return fold


def _divide(a, b):
    if np.issubdtype(a.dtype, np.integer):
        quotient = np.abs(a) // np.abs(b)  # towards zero, as ONNX has it
        return (quotient * np.sign(a) * np.sign(b)).astype(a.dtype)
    return a / b


def _mod(op):
    a, b = op.arrays()
    return np.fmod(a, b) if op.attribute("fmod", 0) else np.mod(a, b)


def _shape_of_view(op):
    array, target = op.arrays()[:2]
    sizes = [int(side) for side in target.ravel()]
    if not op.attribute("allowzero", 0):
        sizes = [array.shape[i] if side == 0 else side for i, side in enumerate(sizes)]
    return array.reshape(sizes)


def _flatten(op):
    array = op.arrays()[0]
    axis = op.attribute("axis", 1)
    rows = 1
    for side in array.shape[:axis]:
        rows *= side
    return array.reshape(rows, -1)


def _transpose(op):
    array = op.arrays()[0]
    return array.transpose(op.attribute("perm", list(range(array.ndim))[::-1]))


def _squeeze(op):
    array = op.arrays()[0]
    axes = op.setting("axes", 1)
    if axes is None:
        return array.reshape([side for side in array.shape if side != 1])
    return np.squeeze(array, tuple(int(axis) for axis in axes))


def _unsqueeze(op):
    array = op.arrays()[0]
    axes = [int(axis) for axis in op.setting("axes", 1)]
    rank = array.ndim + len(axes)
    axes = [axis % rank for axis in axes]
    rest = iter(array.shape)
    return array.reshape([1 if i in axes else next(rest) for i in range(rank)])


def _concat(op):
    arrays = op.arrays()
    axis = op.attribute("axis", 0)
    _bounded(op, sum(array.size for array in arrays))
    return np.concatenate(arrays, axis)


def _gather(op):
    array, indices = op.arrays()
    axis = op.attribute("axis", 0)
    if np.any(indices >= array.shape[axis]) or np.any(indices < -array.shape[axis]):
        op.fail("reads beyond its input of shape {}".format(array.shape))
    _bounded(op, indices.size, array.size // max(array.shape[axis], 1))
    return np.take(array, indices.astype(np.int64), axis)


def slices_of(op, rank):
    """(axis, start, stop, step) of a Slice, each a whole number."""
    starts, ends = op.setting("starts", 1), op.setting("ends", 2)
    axes, steps = op.setting("axes", 3), op.setting("steps", 4)
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    return [(int(axis) % rank, int(start), int(end), int(step))
            for axis, start, end, step in zip(axes, starts, ends, steps)]


def bounds(size, start, stop, step):
    """The bounds of a slice as ONNX means them, as a Python slice."""
    if step < 0 and stop < -size:
        return slice(max(min(start, size - 1), -size), None, step)
    return slice(start, stop, step)


def _gather_nd(op):
    array, indices = op.arrays()
    depth = indices.shape[-1]
    if op.attribute("batch_dims", 0) or depth > array.ndim:
        op.fail("reads places in a way that is not supported")
    _bounded(op, indices.size // max(depth, 1), *array.shape[depth:])
    return array[tuple(indices[..., i].astype(np.int64) for i in range(depth))]


def _scatter_nd(op):
    array, indices, updates = op.arrays()
    if op.attribute("reduction", "none") != "none" or indices.shape[-1] > array.ndim:
        op.fail("writes places in a way that is not supported")
    _bounded(op, *array.shape)
    result = np.array(array)
    result[tuple(indices[..., i].astype(np.int64) for i in range(indices.shape[-1]))] = updates
    return result


def _einsum(op):
    arrays, equation = op.arrays(), op.attribute("equation", "")
    sizes = {}
    for names, array in zip(equation.replace(" ", "").split("->")[0].split(","), arrays):
        sizes.update(zip(names, array.shape))
    _bounded(op, *sizes.values())
    return np.einsum(equation, *arrays)


def _slice(op):
    array = op.arrays()[0]
    cut = [slice(None)] * array.ndim
    for axis, start, stop, step in slices_of(op, array.ndim):
        cut[axis] = bounds(array.shape[axis], start, stop, step)
    return array[tuple(cut)]


def split_sizes(op, size):
    """The sizes into which a Split cuts an axis."""
    sizes = op.setting("split", 1)
    if sizes is not None:
        sizes = [int(part) for part in sizes]
    else:
        count = len(op.outputs)
        part = -(-size // count)
        sizes = [min(part, size - i * part) for i in range(count)]
    if sum(sizes) != size or any(part < 1 for part in sizes):
        op.fail("splits {} into {}".format(size, sizes))
    return sizes


def _split(op):
    array = op.arrays()[0]
    axis = op.attribute("axis", 0)
    places = np.cumsum(split_sizes(op, array.shape[axis]))[:-1]
    return np.split(array, places, axis)


def _cast(op):
    array = op.arrays()[0]
    return array.astype(number_type(op, op.attribute("to")))


def _expand(op):
    array, target = op.arrays()
    wanted = np.broadcast_to(np.zeros(()), [int(side) for side in target])
    shape = np.broadcast(array, wanted).shape
    return np.broadcast_to(array, shape)


def _constant_of_shape(op):
    shape = [int(side) for side in op.arrays()[0]]
    value = op.attribute("value")
    value = np.zeros(1, np.float32) if value is None else op.tensor(value).reshape(-1)[:1]
    return np.broadcast_to(value, shape) if shape else value.reshape(())


def _range(op):
    start, stop, step = (array.reshape(()) for array in op.arrays())
    if step == 0 or not np.isfinite((stop - start) / step):
        op.fail("counts in steps of {}".format(step))
    _bounded(op, (stop - start) / step + 1)
    return np.arange(start, stop, step, dtype=start.dtype)


def _reduce(function):
    def fold(op):
        array = op.arrays()[0]
        axes = op.setting("axes", 1)
        if axes is None and op.attribute("noop_with_empty_axes", 0):
            return array
        axes = None if axes is None else tuple(int(axis) for axis in axes)
        return np.asarray(function(array, axis=axes, keepdims=bool(op.attribute("keepdims", 1))))
    return fold


def _clip(op):
    lowest, highest = op.setting("min", 1), op.setting("max", 2)
    array = op.arrays()[0]
    if lowest is not None:
        array = np.maximum(array, np.asarray(lowest, array.dtype))
    return array if highest is None else np.minimum(array, np.asarray(highest, array.dtype))


def _matmul(op):
    a, b = op.arrays()
    _bounded(op, a.size // max(a.shape[-1], 1), b.shape[-1] if b.ndim > 1 else 1)
    return np.matmul(a, b)


def _tile(op):
    array, repeats = op.arrays()
    _bounded(op, array.size, *repeats)
    return np.tile(array, [int(count) for count in repeats])


def _batch_norm(op):
    array, gamma, beta, mean, variance = op.arrays()[:5]
    shape = (1, -1) + (1,) * (array.ndim - 2)
    gain = gamma / np.sqrt(variance + op.attribute("epsilon", 1e-5))
    return ((array - mean.reshape(shape)) * gain.reshape(shape) + beta.reshape(shape)).astype(
        array.dtype)


def _identity(op):
    return op.arrays()[0]


FOLDABLE = {
    "Identity": _identity, "Dropout": _identity, "Cast": _cast, "Reshape": _shape_of_view,
    "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Concat": _concat, "Gather": _gather, "GatherND": _gather_nd,
    "ScatterND": _scatter_nd, "Einsum": _einsum, "Slice": _slice, "Split": _split, "Expand": _expand,
    "ConstantOfShape": _constant_of_shape, "Range": _range, "Tile": _tile, "Clip": _clip,
    "MatMul": _matmul, "Mod": _mod, "BatchNormalization": _batch_norm,
    "Shape": lambda op: np.array(op.arrays()[0].shape, np.int64),
    "Size": lambda op: np.array(op.arrays()[0].size, np.int64),
    "Where": _elementwise(np.where), "Add": _elementwise(np.add), "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply), "Div": _elementwise(_divide),
    "Max": _elementwise(lambda *a: np.max(np.broadcast_arrays(*a), axis=0)),
    "Min": _elementwise(lambda *a: np.min(np.broadcast_arrays(*a), axis=0)),
    "Pow": _elementwise(lambda a, b: np.power(a, b).astype(a.dtype)), "Sqrt": _elementwise(np.sqrt),
    "Neg": _elementwise(np.negative), "Abs": _elementwise(np.abs), "Exp": _elementwise(np.exp),
    "Log": _elementwise(np.log), "Floor": _elementwise(np.floor), "Ceil": _elementwise(np.ceil),
    "Round": _elementwise(np.round), "Sin": _elementwise(np.sin), "Cos": _elementwise(np.cos),
    "Tanh": _elementwise(np.tanh), "Relu": _elementwise(lambda a: np.maximum(a, 0)),
    "Sigmoid": _elementwise(lambda a: 1.0 / (1.0 + np.exp(-a))),
    "Reciprocal": _elementwise(lambda a: 1.0 / a),
    "Equal": _elementwise(np.equal), "Less": _elementwise(np.less), "Not": _elementwise(np.logical_not),
    "LessOrEqual": _elementwise(np.less_equal), "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal), "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or), "Xor": _elementwise(np.logical_xor),
    "ReduceMean": _reduce(np.mean), "ReduceSum": _reduce(np.sum), "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min), "ReduceProd": _reduce(np.prod),
}


def fold(op):
    """The results of an operation whose inputs are all known; None where it is not one of these."""
    function = FOLDABLE.get(op.kind)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            result = function(op)
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError,
            ZeroDivisionError) as error:
        op.fail("cannot be computed ({})".format(" ".join(str(error).split())))
    return result if isinstance(result, list) else [result]
