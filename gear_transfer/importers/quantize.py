"""Finding the bytes, scale and minimum that float32 values were made from."""
import numpy as np

from .network import QuantizedArray

#: Most scales that are tried for one array; one to three are usual.
_MOST_CANDIDATES = 4096


def recover_quantization(array):
    """Store an array as bytes if that loses nothing.

    The smallest value is byte 0, so it is the minimum itself. Every other
    value, known to half a step of float32, bounds the scale; the few float32
    numbers within all bounds are tried.

    Parameters
    ----------
    array : ndarray of float32

    Returns
    -------
    QuantizedArray or None
        None where no scale and minimum reproduce the array bit for bit.
    """
    array = np.ascontiguousarray(array, dtype=np.float32)
    values, places = np.unique(array.reshape(-1), return_inverse=True)
    places = places.reshape(-1)
    if not 1 <= len(values) <= 256:
        return None
    if len(values) == 1:
        return _verified(array, values, np.zeros(1, np.uint8), places, 1.0, float(values[0]))
    exact = values.astype(np.float64)
    above = exact - exact[0]
    for span in range(255, len(values) - 2, -1):
        levels = np.rint(above * (span / above[-1]))
        if np.diff(levels).min() < 1:
            continue
        for scale in _candidates(levels[1:], above[1:], np.spacing(np.abs(values[1:]))):
            found = _verified(array, values, levels.astype(np.uint8), places, scale, exact[0])
            if found is not None:
                return found
    return None


def _candidates(levels, above, spacing):
    """The float32 scales that bring every level to within rounding of its value.

    Parameters
    ----------
    levels : ndarray of float64
        Bytes, all greater than zero.
    above : ndarray of float64
        Value less the minimum.
    spacing : ndarray of float32
        Distance of the value to its neighbour in float32.
    """
    # Half a step for the sum, and for the product half of at most 2**-23 of its size.
    slack = 0.5001 * spacing.astype(np.float64) + above * 2.0 ** -23.9
    least = np.float32(((above - slack) / levels).max())
    most = np.float32(((above + slack) / levels).min())
    least, most = np.nextafter(least, np.float32(0.0)), np.nextafter(most, np.float32(np.inf))
    scale = least
    for _ in range(_MOST_CANDIDATES):
        if not scale <= most:
            return
        if scale > 0.0:
            yield float(scale)
        scale = np.nextafter(scale, np.float32(np.inf))


def _verified(array, values, levels, places, scale, minimum):
    """The quantised array if it gives `array` back bit for bit, else None."""
    table = QuantizedArray(levels, scale, minimum).dequantize()
    if not np.array_equal(table.view(np.uint32), values.view(np.uint32)):
        return None
    found = QuantizedArray(levels[places].reshape(array.shape), scale, minimum)
    same = np.array_equal(found.dequantize().view(np.uint32), array.view(np.uint32))
    return found if same else None
