"""What a tensor of an ONNX file is, in terms of our nodes.

ONNX tensors have any number of axes; the result of a node of ours is a map (height, width,
channels). A `Value` says which node holds the numbers, and what each axis of the tensor is made of:
atoms, the factors into which reshapes split the axes of the map. Reshapes and transposes so move
nothing; `Builder.arranged` moves where an operation needs its numbers in another order.
"""
import numpy as np

from .arrays import Stored
from .channel_order import with_channel_order

LETTERS = "hwc"


class Atom(object):
    """A factor of an axis: a part of the height, the width, the channels or the batch."""

    __slots__ = ("letter", "size")

    def __init__(self, letter, size):
        self.letter = letter
        self.size = size

    def __repr__(self):
        return "{}{}".format(self.letter, self.size)


class Merged(Atom):
    """An atom made of neighbours, of which `last` was the innermost."""

    __slots__ = ("last",)

    def __init__(self, letter, size, last):
        super().__init__(letter, size)
        self.last = last


def product(sizes):
    """The product of whole numbers, which cannot overflow."""
    result = 1
    for size in sizes:
        result *= int(size)
    return result


def size_of(atoms):
    """How many numbers these atoms span."""
    return product(atom.size for atom in atoms)


class Item(object):
    """A node to be: its inputs are other items, its arrays `Stored`; named at the end.

    Operations that are none of ours ("affine", "erf", "cube") stand for a part of a pattern.
    """

    __slots__ = ("op", "inputs", "attributes", "shape", "name", "owner")

    def __init__(self, op, inputs, attributes, shape, owner):
        self.op = op
        self.inputs = tuple(inputs)
        self.attributes = attributes
        self.shape = tuple(shape)
        self.name = None
        self.owner = owner


class Value(object):
    """A tensor that depends on the image.

    Parameters
    ----------
    item : Item
    base : dict of str to tuple of Atom
        What height ("h"), width ("w") and channels ("c") of the item are made of; atoms of size 1
        are left out.
    axes : sequence of tuple of Atom
        What each axis of the tensor is made of.
    """

    __slots__ = ("item", "base", "axes")

    def __init__(self, item, base, axes):
        self.item = item
        self.base = base
        self.axes = tuple(tuple(axis) for axis in axes)

    @property
    def shape(self):
        """Of the tensor, list of int."""
        return [size_of(axis) for axis in self.axes]

    def letter(self, axis):
        """Which of "h", "w" and "c" an axis is, whole and in order; None for a part or a mixture."""
        atoms = self.axes[axis]
        for letter in LETTERS:
            if atoms and atoms == self.base[letter]:
                return letter
        return None

    def with_item(self, item):
        """The same arrangement of another item of the same shape."""
        return Value(item, self.base, self.axes)

    def with_axes(self, axes):
        """The same item, its axes arranged in another way."""
        return Value(self.item, self.base, axes)

    def split(self, atom, sizes):
        """The same value with an atom split into several, the outermost first; and these atoms."""
        parts = tuple(Atom(atom.letter, size) for size in sizes if size != 1)

        def exchange(atoms):
            result = ()
            for other in atoms:
                result += parts if other is atom else (other,)
            return result
        base = dict((key, exchange(atoms)) for key, atoms in self.base.items())
        return Value(self.item, base, [exchange(axis) for axis in self.axes]), parts


def letter_atoms(letter, size):
    """The atoms of a whole axis."""
    return () if size == 1 else (Atom(letter, size),)


class Builder(object):
    """Items in the order in which they were made.

    Parameters
    ----------
    batch : int
        What stands for the number of images in the sizes of the file.
    fail : callable
        ``fail(reason)`` raises the error for the operation at hand.
    """

    def __init__(self, batch):
        self.batch = Atom("b", batch)
        self.items = []
        self.owner = "input"
        self.fail = None
        self.input_item = None

    def emit(self, op, inputs, attributes, shape):
        """Append an item."""
        if any(side < 1 for side in shape):
            self.fail("its result would be empty: (height, width, channels) {}".format(tuple(shape)))
        if product(shape) > 1 << 31:
            self.fail("its result of (height, width, channels) {} is too large".format(tuple(shape)))
        item = Item(op, inputs, attributes, shape, self.owner)
        self.items.append(item)
        return item

    def whole(self, item, order):
        """A new value whose axes are those of an item: `order` such as "bchw"."""
        base = dict((letter, letter_atoms(letter, size)) for letter, size in zip(LETTERS, item.shape))
        return Value(item, base, [(self.batch,) if letter == "b" else
                                  base.get(letter, ()) for letter in order])

    def replaced(self, value, item, letter, atoms=None):
        """`value` of another item that differs in one axis, which must be whole in the tensor."""
        if atoms is None:
            atoms = letter_atoms(letter, item.shape[LETTERS.index(letter)])
        old, base = value.base[letter], dict(value.base)
        base[letter] = atoms
        return Value(item, base, [atoms if old and axis == old else axis for axis in value.axes])

    # Reshapes and transposes

    def reshape(self, value, shape):
        """The tensor with other axes of the same numbers."""
        have = value.shape
        value, left = merged(value)
        axes = []
        for size in shape:
            axis, value, left = self._take(value, left, size, have)
            axes.append(axis)
        if left and not all(atom.size == 1 for atom in left):
            self.fail("reshapes its input to {}, which is not supported".format(list(shape)))
        if axes:
            axes[-1] = axes[-1] + tuple(left)
        return value.with_axes(axes)

    def _take(self, value, left, size, have):
        """Atoms from the front of `left` that together have a size; splits the last if need be."""
        axis = ()
        while size_of(axis) != size or not axis:
            if not left or (size == 1 and left[0].size != 1):
                if size_of(axis) == size:
                    break
                self.fail("reshapes {} in a way that is not supported".format(have))
            atom, missing = left[0], size // size_of(axis)
            if missing % atom.size:
                if atom.size % missing or atom is self.batch or size % size_of(axis):
                    self.fail("reshapes {} in a way that is not supported".format(have))
                value, parts = value.split(atom, [missing, atom.size // missing])
                left = list(parts) + left[1:]
                atom = left[0]
            axis += (atom,)
            left = left[1:]
        return axis, value, left

    # Moves

    def arranged(self, value, height, width, channels):
        """An item of shape (height, width, channels), each made of the given atoms of `value`."""
        wanted = {"h": tuple(height), "w": tuple(width), "c": tuple(channels)}
        base, item = value.base, value.item
        if all(wanted[letter] == base[letter] for letter in LETTERS):
            return item
        shape = [size_of(wanted[letter]) for letter in LETTERS]
        h, w, c = (base[letter] for letter in LETTERS)
        if wanted == {"h": (), "w": (), "c": c + h + w}:
            return self.emit("flatten", [item], {"channels_first": True}, shape)
        if wanted == {"h": (), "w": (), "c": h + w + c}:
            return self.emit("flatten", [item], {}, shape)
        if h == wanted["h"] and w == wanted["w"] and set(map(id, c)) == set(map(id, wanted["c"])):
            ordered = self._ordered(item, c, wanted["c"])
            if ordered is not None:
                return ordered
        if h == wanted["h"] and w == wanted["w"] and len(c) == 2 and wanted["c"] == (c[1], c[0]):
            return self.emit("channel_shuffle", [item], {"groups": c[0].size}, shape)
        order = [atom for letter in LETTERS for atom in base[letter]]
        goal = [atom for letter in LETTERS for atom in wanted[letter]]
        if len(order) != len(goal) or set(map(id, order)) != set(map(id, goal)):
            self.fail("mixes the images of a batch, or axes in a way that is not supported")
        item = self._transposed_whole(item, base, wanted, shape) or self._moved(item, order, goal)
        return self.reshaped(item, shape, tokens=wanted["h"] == h + w and wanted["c"] == c)

    def _ordered(self, item, have, wanted):
        """The item with its channels in another order, where the layer that makes them can."""
        numbers = np.arange(item.shape[2]).reshape([atom.size for atom in have])
        order = [[i for i, other in enumerate(have) if other is atom][0] for atom in wanted]
        return with_channel_order(self, item, numbers.transpose(order).ravel())

    def _transposed_whole(self, item, base, wanted, shape):
        """One transpose where each wanted axis is one of the item's."""
        letters = [[other for other in LETTERS if wanted[letter] == base[other]]
                   for letter in LETTERS]
        axes = []
        for found in letters:
            free = [LETTERS.index(letter) for letter in found if LETTERS.index(letter) not in axes]
            if not free:
                return None
            axes.append(free[0])
        return self.emit("transpose", [item], {"axes": axes}, shape)

    def reshaped(self, item, shape, tokens=False):
        """The item in another shape of as many numbers."""
        if tuple(item.shape) == tuple(shape):
            return item
        sizes = [-1, 1, shape[2]] if tokens and shape[1] == 1 else list(shape)
        return self.emit("reshape", [item], {"shape": sizes}, shape)

    def _moved(self, item, order, goal):
        """Atoms brought into another order, block by block."""
        for place in range(len(goal)):
            at = [i for i, atom in enumerate(order) if atom is goal[place]][0]
            if at == place:
                continue
            end = at + 1
            while end < len(order) and order[end] is goal[place + end - at]:
                end += 1
            item = self._swapped(item, order[:place], order[place:at], order[at:end], order[end:])
            order = order[:place] + order[at:end] + order[place:at] + order[end:]
        return item

    def _swapped(self, item, before, first, second, after):
        def turn(item, sizes, axes):
            item = self.reshaped(item, sizes)
            return self.emit("transpose", [item], {"axes": axes}, [sizes[axis] for axis in axes])

        a, x, y, b = (size_of(atoms) for atoms in (before, first, second, after))
        if a == 1:
            return turn(item, [x, y, b], [1, 0, 2])
        if b == 1:
            return turn(item, [a, x, y], [0, 2, 1])
        return turn(turn(item, [a * x, y, b], [1, 0, 2]), [y, a, x * b], [1, 0, 2])

    # Views of a value that operations need

    def images(self, value, axis=0):
        """Check that an axis is the batch and nothing else."""
        if not value.axes or value.axes[axis] != (self.batch,):
            self.fail("its input of shape {} does not have the images along its axis {}".format(
                value.shape, axis))

    def as_map(self, value):
        """A value whose axes are (batch, channels, height, width), each whole."""
        if len(value.axes) != 4:
            self.fail("needs four axes, its input has the shape {}".format(value.shape))
        self.images(value)
        _, c, h, w = value.axes
        return self.settled(value, h, w, c)

    def settled(self, value, height, width, channels):
        """`value` of an item arranged so; its axes stay as they are."""
        item = self.arranged(value, height, width, channels)
        if item is value.item:
            return value
        base = {"h": tuple(height), "w": tuple(width), "c": tuple(channels)}
        return relettered(Value(item, base, value.axes))

    def without_batch(self, axis):
        """The atoms of an axis except the images."""
        return tuple(atom for atom in axis if atom is not self.batch)

    def last_as_channels(self, value):
        """`value` with the last axis of the tensor as the channels of its item."""
        last = value.axes[-1]
        if self.batch in last:
            if last[:1] != (self.batch,) or self.batch.size != 1:
                self.fail("its input of shape {} has the images along its last axis".format(
                    value.shape))
            last = last[1:]
        if last == value.base["c"]:
            return value
        rest = [self.without_batch(axis) for axis in value.axes[:-1]]
        rest = [axis for axis in rest if axis]
        if len(rest) == 2:
            return self.settled(value, rest[0], rest[1], last)
        return self.settled(value, sum(rest, ()), (), last)

    def isolated(self, value, axis):
        """`value` arranged so that an axis is whole in its item, and every other too if it can."""
        if value.letter(axis) is not None or not value.axes[axis]:
            return value
        others = [i for i in range(len(value.axes)) if i != axis and
                  self.without_batch(value.axes[i])]
        if self.batch in value.axes[axis] or any(
                self.batch in value.axes[i] for i in others):
            self.fail("mixes the images of a batch")
        if len(value.axes) == 4 and len(others) <= 3 and 0 not in others:
            return self.as_map(value)
        if others and others[-1] == len(value.axes) - 1:
            return self.settled(value, value.axes[axis],
                                sum((value.axes[i] for i in others[:-1]), ()),
                                value.axes[others[-1]])
        return self.settled(value, sum((value.axes[i] for i in others), ()), (), value.axes[axis])

    # Constants

    def constant(self, array):
        """An item that stands for an array (height, width, channels)."""
        return self.emit("constant", [], {"value": Stored.of(array)}, array.shape)

    def in_base(self, value, array):
        """A constant operand in the order of the item of `value`: (h or 1, w or 1, c or 1).

        None where the constant is larger than the tensor along some axis.
        """
        if array.ndim > len(value.axes):
            extra = array.ndim - len(value.axes)
            if any(side != 1 for side in array.shape[:extra]):
                return None
            array = array.reshape(array.shape[extra:])
        array = array.reshape((1,) * (len(value.axes) - array.ndim) + array.shape)
        atoms, sizes = [], []
        for axis, side in zip(value.axes, array.shape):
            inner = self.without_batch(axis)
            if side == 1:
                sizes += [1] * len(inner)
            elif side == size_of(inner):
                sizes += [atom.size for atom in inner]
            elif axis == (self.batch,) and side == self.batch.size:
                array = same_for_all_images(array, value.axes.index(axis))
                if array is None:
                    return None
            else:
                return None
            atoms += inner
        array = array.reshape(sizes)
        order = [atom for letter in LETTERS for atom in value.base[letter]]
        places = [[i for i, other in enumerate(atoms) if other is atom] for atom in order]
        if not all(places):
            return None
        array = array.transpose([place[0] for place in places])
        return _grouped(array, [value.base[letter] for letter in LETTERS])


def same_for_all_images(array, axis):
    """The array for one image where it is the same for all, else None."""
    first = np.take(array, [0], axis=axis) if array.shape[axis] == 1 or \
        array.strides[axis] == 0 else None
    return first


def _grouped(array, groups):
    """Axes of atoms merged to height, width and channels; those along which it is constant are 1."""
    sides, sizes, place = [], [], 0
    for atoms in groups:
        part = array.shape[place:place + len(atoms)]
        varies = any(side != 1 for side in part)
        sizes += [atom.size for atom in atoms] if varies else [1] * len(atoms)
        sides.append(size_of(atoms) if varies else 1)
        place += len(atoms)
    return np.broadcast_to(array, sizes).reshape(sides)


def merged(value):
    """The same value with factors that are neighbours again made one, and all atoms in order.

    The axes of the value that is returned are to be made of the atoms anew.
    """
    left = [atom for axis in value.axes for atom in axis]
    base = dict(value.base)
    for letter in LETTERS:
        for outer, inner in zip(value.base[letter], value.base[letter][1:]):
            places = [i for i, atom in enumerate(left) if atom is inner]
            outer = [atom for atom in base[letter] if atom is outer or getattr(
                atom, "last", None) is outer]
            if not places or not outer or places[0] == 0 or left[places[0] - 1] is not outer[0]:
                continue
            both = Merged(letter, outer[0].size * inner.size, inner)
            base[letter] = tuple(both if atom is outer[0] else atom
                                 for atom in base[letter] if atom is not inner)
            left[places[0] - 1:places[0] + 1] = [both]
    return Value(value.item, base, [left]), left


def relettered(value):
    """The same value with atoms that carry the letters of the axes they are in now."""
    exchange = {}
    for letter in LETTERS:
        for atom in value.base[letter]:
            exchange[id(atom)] = Atom(letter, atom.size)
    base = dict((letter, tuple(exchange[id(atom)] for atom in value.base[letter]))
                for letter in LETTERS)
    return Value(value.item, base, [tuple(exchange.get(id(atom), atom) for atom in axis)
                                    for axis in value.axes])


def aligned(first, second):
    """Two values of as many axes, their atoms split until axes of equal size are split equally.

    Returns
    -------
    first, second : Value
        None, None where they cannot be.
    """
    rank = max(len(first.axes), len(second.axes))
    first = first.with_axes(((),) * (rank - len(first.axes)) + first.axes)
    second = second.with_axes(((),) * (rank - len(second.axes)) + second.axes)
    for axis in range(rank):
        place = 0
        while True:
            a, b = first.axes[axis], second.axes[axis]
            if not a or not b or place >= max(len(a), len(b)):
                break
            if place >= min(len(a), len(b)):
                return None, None
            x, y = a[place], b[place]
            if x.size > y.size and x.size % y.size == 0 and "b" not in (x.letter, y.letter):
                first, _ = first.split(x, [y.size, x.size // y.size])
            elif y.size > x.size and y.size % x.size == 0 and "b" not in (x.letter, y.letter):
                second, _ = second.split(y, [x.size, y.size // x.size])
            elif x.size != y.size:
                return None, None
            place += 1
    return first, second


def pairs_of(first, second):
    """For two aligned values: the atom of `first` at the place of each atom of `second`, by id."""
    pairs = {}
    for a, b in zip(first.axes, second.axes):
        if a and b:
            pairs.update((id(y), x) for x, y in zip(a, b))
    return pairs
