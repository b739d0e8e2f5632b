"""Einsum, where it is a product of matrices."""
import numpy as np

from .attention import Scores, matmul
from .operation import Known


def einsum(op, net):
    """Einsum of two tensors: axes of the batch, and one axis that is summed over."""
    left, right, result = _letters(op)
    batch = [letter for letter in result if letter in left and letter in right]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    if not (len(summed) == len(columns) == 1 and (len(rows) == 1 or rows and not batch)):
        op.fail("sums '{}', only products of matrices are supported".format(
            op.attribute("equation")))
    made = batch + rows + columns
    op.inputs = [_ordered(op, 0, left, batch + rows + summed),
                 _ordered(op, 1, right, batch + summed + columns)]
    product = matmul(op, net)
    if made == result:
        return product
    if isinstance(product, Scores):
        op.fail("turns the scores of attention")
    return product.with_axes([product.axes[made.index(letter)] for letter in result])


def _letters(op):
    """The letters of both inputs and of the result, each a list."""
    equation = op.attribute("equation", "")
    equation = equation.replace(" ", "") if isinstance(equation, str) else ""
    terms, _, result = equation.partition("->")
    parts = terms.split(",") + [result]
    if len(parts) != 3 or len(op.inputs) != 2 or not all(
            part.isalpha() and len(set(part)) == len(part) for part in parts) or not set(
                result) <= set(terms):
        op.fail("has the equation {!r}, only products of two tensors are supported".format(
            op.attribute("equation")))
    for index in (0, 1):
        rank = len(_shape(op.inputs[index]))
        if rank != len(parts[index]):
            op.fail("its input {} has {} axes, its equation {}".format(
                index, rank, len(parts[index])))
    return [list(part) for part in parts]


def _shape(known):
    return known.view.shape if isinstance(known, Scores) else known.shape


def _ordered(op, index, letters, wanted):
    """An input with its axes in another order."""
    known = op.inputs[index]
    order = [letters.index(letter) for letter in wanted]
    if order == sorted(order):
        return known
    if isinstance(known, Known):
        return Known.of(np.transpose(known.array(), order))
    if isinstance(known, Scores):
        return op.fail("turns the scores of attention")
    return known.with_axes([known.axes[axis] for axis in order])
