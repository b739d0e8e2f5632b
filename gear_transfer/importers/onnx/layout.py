"""Operations that move, cut or join tensors."""
import numpy as np

from .constants import bounds, slices_of, split_sizes
from .operation import Known
from .shifted_windows import roll, rolled_pieces
from .values import LETTERS, Value, aligned, letter_atoms, pairs_of, size_of

#: Pieces from which a Gather may be put together.
_MOST_PIECES = 64

AXES = {"h": "height", "w": "width", "c": "channels"}


def _axis(op, value, name="axis", otherwise=0):
    axis = op.attribute(name, otherwise)
    rank = len(value.axes)
    if not isinstance(axis, int) or not -rank <= axis < rank:
        op.fail("its {} is {!r}, its input has {} axes".format(name, axis, rank))
    return axis % rank


def identity(op, net):
    """An operation that changes nothing where a network is used and not trained."""
    return op.value()


def shape(op, net):
    """The sizes of a tensor, at the size of image at hand."""
    sizes = op.value().shape
    start, stop = op.attribute("start", 0), op.attribute("end", len(sizes))
    return Known.of(np.array(sizes[start:stop], np.int64))


def size(op, net):
    return Known.of(np.array(np.prod([int(side) for side in op.value().shape]), np.int64))


def cast(op, net):
    """To another type of numbers: the core has its own."""
    if op.attribute("to") not in (1, 10, 11, 16):
        op.fail("casts what depends on the image to whole numbers")
    return op.value()


def reshape(op, net):
    value = op.value()
    target = op.setting("shape", 1)
    if target is None:
        op.fail("lacks its shape")
    sizes = [int(side) for side in target]
    have = value.shape
    if not op.attribute("allowzero", 0):
        sizes = [have[i] if side == 0 and i < len(have) else side for i, side in enumerate(sizes)]
    return net.reshape(value, filled(op, have, sizes))


def filled(op, have, sizes):
    """`sizes` with the one that is -1 computed."""
    total, known = 1, 1
    for side in have:
        total *= side
    for side in sizes:
        known *= side if side != -1 else 1
    if sizes.count(-1) > 1 or known < 1 or total % known or (-1 not in sizes and known != total):
        op.fail("reshapes {} to {}".format(have, sizes))
    return [total // known if side == -1 else side for side in sizes]


def flatten(op, net):
    value = op.value()
    axis = op.attribute("axis", 1)
    axis = axis + len(value.axes) if axis < 0 else axis
    sizes, rows = value.shape, 1
    for side in sizes[:axis]:
        rows *= side
    return net.reshape(value, filled(op, sizes, [rows, -1]))


def transpose(op, net):
    value = op.value()
    order = op.attribute("perm", list(range(len(value.axes)))[::-1])
    if sorted(order) != list(range(len(value.axes))):
        op.fail("its perm is {!r}".format(order))
    return value.with_axes([value.axes[axis] for axis in order])


def squeeze(op, net):
    value = op.value()
    axes = op.setting("axes", 1)
    rank = len(value.axes)
    if axes is None:
        axes = [i for i, side in enumerate(value.shape) if side == 1]
    axes = [int(axis) % rank for axis in axes]
    if any(value.shape[axis] != 1 for axis in axes):
        op.fail("squeezes axes {} of shape {}".format(axes, value.shape))
    left, carried = [], ()
    for i, axis in enumerate(value.axes):
        if i in axes:
            carried += axis  # a batch of one image
        else:
            left.append(carried + axis)
            carried = ()
    if carried and left:
        left[-1] += carried
    return value.with_axes(left)


def unsqueeze(op, net):
    value = op.value()
    axes = [int(axis) for axis in op.setting("axes", 1) or []]
    rank = len(value.axes) + len(axes)
    axes = [axis % rank for axis in axes]
    rest = list(value.axes)
    return value.with_axes([() if i in axes else rest.pop(0) for i in range(rank)])


def expand(op, net):
    """Only where nothing is repeated, or each consumer would repeat it anyway."""
    value = op.value()
    target = [int(side) for side in op.setting("shape", 1)]
    have = [1] * (len(target) - len(value.axes)) + value.shape
    if any(side not in (1, old) for side, old in zip(target[-len(have):], have)):
        op.fail("repeats {} to {}".format(value.shape, target))
    return value.with_axes(((),) * (len(have) - len(value.axes)) + value.axes)


def tile(op, net):
    if any(int(count) != 1 for count in op.setting("repeats", 1)):
        op.fail("repeats what depends on the image")
    return op.value()


# Cutting

def cut(op, net, value, axis, start, stop, step=1):
    """The part of an axis that a Python slice means."""
    extent = value.shape[axis]
    first, last, step = slice(start, stop, step).indices(extent)
    count = len(range(first, last, step))
    if count == extent and step == 1:
        return value
    if count < 1 or step < 1:
        op.fail("cuts {} of the {} numbers along its axis {}{}".format(
            count, extent, axis, " backwards" if step < 1 else ""))
    if value.letter(axis) is None and step == 1:
        for letter in LETTERS:
            atoms = value.axes[axis]
            if atoms and value.base[letter][:len(atoms)] == atoms:
                return _cut_outer(net, value, axis, letter, first, count)
            if atoms and letter == "c" and all(any(atom is own for own in value.base["c"])
                                               for atom in atoms):
                rest = tuple(own for own in value.base["c"] if not any(own is a for a in atoms))
                value = net.settled(value, value.base["h"], value.base["w"], atoms + rest)
                return _cut_outer(net, value, axis, letter, first, count)
    value = net.isolated(value, axis)
    letter = value.letter(axis)
    attributes = {"axis": AXES[letter],
                  "start": first - extent if start is not None and start < 0 else first}
    if last < extent:
        attributes["stop"] = last - extent if stop is not None and stop < 0 else last
    if step != 1:
        attributes["step"] = step
    sizes = list(value.item.shape)
    sizes[LETTERS.index(letter)] = count
    return net.replaced(value, net.emit("slice", [value.item], attributes, sizes), letter)


def _cut_outer(net, value, axis, letter, first, count):
    """A part of the outermost factor of an axis of the item, which lies in one piece."""
    atoms = value.axes[axis]
    inner = value.base[letter][len(atoms):]
    rest = size_of(inner)
    sizes = list(value.item.shape)
    sizes[LETTERS.index(letter)] = count * rest
    attributes = {"axis": AXES[letter], "start": first * rest}
    if first + count < size_of(atoms):
        attributes["stop"] = (first + count) * rest
    item = net.emit("slice", [value.item], attributes, sizes)
    new, base = letter_atoms(letter, count), dict(value.base)
    base[letter] = new + inner
    return Value(item, base, value.axes[:axis] + (new,) + value.axes[axis + 1:])


def slice_(op, net):
    value = op.value()
    for axis, start, stop, step in slices_of(op, len(value.axes)):
        if value.axes[axis] == (net.batch,):
            if start != 0 or stop < value.shape[axis] or step != 1:
                op.fail("takes some of the images of a batch")
            continue
        limits = bounds(value.shape[axis], start, stop, step)
        value = cut(op, net, value, axis, limits.start, limits.stop, step)
    return value


def split(op, net):
    value = op.value()
    axis = _axis(op, value)
    results, start = [], 0
    for part in split_sizes(op, value.shape[axis]):
        results.append(cut(op, net, value, axis, start, start + part))
        start += part
    return results


def gather(op, net):
    value = op.value()
    axis = _axis(op, value)
    indices = op.known(1, "the places that it reads").array()
    if indices.ndim > 1 and indices.size == value.shape[axis] and np.array_equal(
            indices.ravel(), np.arange(indices.size)):
        # Every place once and in order, as a view with strides of its own is exported.
        return net.reshape(value, value.shape[:axis] + list(indices.shape) + value.shape[axis + 1:])
    if indices.ndim > 1 or indices.size == 0 or indices.size > 1 << 16:
        op.fail("reads places of shape {}".format(indices.shape))
    places = [int(place) for place in np.atleast_1d(indices)]
    extent = value.shape[axis]
    if any(not -extent <= place < extent for place in places):
        op.fail("reads place {} of an axis of {}".format(places, extent))
    if value.axes[axis] == (net.batch,):
        op.fail("takes some of the images of a batch")
    if indices.ndim == 0:
        stop = places[0] + 1
        result = cut(op, net, value, axis, places[0], None if stop == 0 else stop)
        return result.with_axes(result.axes[:axis] + result.axes[axis + 1:])
    parts = [cut(op, net, value, axis, first, last + 1, step)
             for first, last, step in _runs(op, [place % extent for place in places])]
    return parts[0] if len(parts) == 1 else joined(op, net, parts, axis)


def _runs(op, places):
    """Places as (first, last, step) of pieces in even steps."""
    runs = []
    for place in places:
        if runs and (runs[-1][0] == runs[-1][1] < place or place - runs[-1][1] == runs[-1][2]):
            runs[-1] = (runs[-1][0], place, place - runs[-1][1])
        else:
            runs.append((place, place, 1))
    if len(runs) > _MOST_PIECES:
        op.fail("reads places in an order that is not supported: {} and so on".format(places[:8]))
    return runs


# Joining

def _matched(net, value, like, axis):
    """`value` arranged as the item of `like` is, whose axes are whole; they may differ in `axis`."""
    wanted = {"h": (), "w": (), "c": ()}
    for i, atoms in enumerate(like.axes):
        letter = like.letter(i)
        if letter is None and i == axis:
            letter = _free_letter(like, axis)
        if letter is not None:
            wanted[letter] = net.without_batch(value.axes[i])
    return net.arranged(value, wanted["h"], wanted["w"], wanted["c"])


def _free_letter(like, axis):
    """The letter of an axis of size 1: that which no other axis has."""
    taken = [like.letter(i) for i in range(len(like.axes)) if i != axis]
    free = [letter for letter in LETTERS if letter not in taken and not like.base[letter]]
    if len(like.axes) == 4 and axis == 1 and "c" in free:
        return "c"
    return free[0] if free else None


def concat(op, net):
    """Tensors joined along an axis; constants among them become nodes."""
    values = [known for known in op.inputs if isinstance(known, Value)]
    if not values or len(values) + sum(isinstance(known, Known) for known in op.inputs) < len(
            op.inputs):
        op.fail("joins what is not supported here")
    axis = _axis(op, values[0])
    return values[0] if len(op.inputs) == 1 else joined(op, net, op.inputs, axis)


def joined(op, net, operands, axis):
    """Values, of which some may be constants, joined along an axis."""
    values = [known for known in operands if isinstance(known, Value)]
    if any(len(value.axes) != len(values[0].axes) for value in values):
        op.fail("joins tensors of shapes {}".format([value.shape for value in values[:4]]))
    if values[0].axes[axis] and net.batch in values[0].axes[axis]:
        op.fail("joins images of a batch")
    whole = [value for value in values if value.letter(axis) is not None and all(
        value.letter(i) is not None or not net.without_batch(value.axes[i])
        for i in range(len(value.axes)))]
    like = whole[0] if whole else net.isolated(max(values, key=lambda value: len(
        value.axes[axis])), axis)
    like = _settled_whole(net, like)
    letter = like.letter(axis) or _free_letter(like, axis)
    if letter is None:
        op.fail("joins along an axis that is not supported")
    items = [_constant(op, net, operand, like, axis, letter) if isinstance(operand, Known)
             else _matched(net, operand, like, axis) for operand in operands]
    return _joined(op, net, items, like, axis, letter)


def _settled_whole(net, value):
    """`value` such that each axis is one of its item."""
    if all(value.letter(i) is not None or not net.without_batch(value.axes[i])
           for i in range(len(value.axes))):
        return value
    rest = [axis for axis in (net.without_batch(axis) for axis in value.axes) if axis]
    if len(rest) > 3:
        net.fail("joins tensors of shape {}".format(value.shape))
    if len(value.axes) == 4:
        return net.as_map(value)
    rest = [()] * (2 - len(rest)) + rest if len(rest) < 2 else rest
    return net.settled(value, rest[0], rest[1] if len(rest) == 3 else (), rest[-1])


def _constant(op, net, known, like, axis, letter):
    """An array of the shape of `like` except for one axis, as a node."""
    array = known.array()
    if array.ndim != len(like.axes):
        op.fail("joins tensors of {} and {} axes".format(array.ndim, len(like.axes)))
    shape, order = [1, 1, 1], []
    for i, atoms in enumerate(like.axes):
        if net.batch in atoms:
            array = array[:1] if array.shape[i] == 1 or array.strides[i] == 0 else op.fail(
                "joins a constant that differs from image to image")
            continue
        own = letter if i == axis else like.letter(i)
        if own is not None:
            order.append((LETTERS.index(own), i))
            shape[LETTERS.index(own)] = array.shape[i]
            if i != axis and array.shape[i] != size_of(atoms):
                op.fail("joins shapes {} and {}".format(array.shape, like.shape))
    rest = [i for i in range(array.ndim) if i not in [place for _, place in order]]
    array = array.transpose(rest + [place for _, place in sorted(order)]).reshape(shape)
    return net.constant(array)


def _joined(op, net, items, like, axis, letter):
    place = LETTERS.index(letter)
    shapes = [list(item.shape) for item in items]
    total = sum(sizes[place] for sizes in shapes)
    for sizes in shapes:
        sizes[place] = total
    if any(sizes != shapes[0] for sizes in shapes):
        op.fail("joins maps of (height, width, channels) {}".format(
            [tuple(item.shape) for item in items]))
    attributes = {} if letter == "c" else {"axis": AXES[letter]}
    pieces = rolled_pieces(items, AXES[letter])
    if pieces is None:
        item = net.emit("concat", items, attributes, shapes[0])
    else:
        item = roll(net, pieces[0], AXES[letter], pieces[1])
    atoms = letter_atoms(letter, total)
    base = dict(like.base)
    base[letter] = atoms
    return Value(item, base, [atoms if i == axis else atoms_ for i, atoms_ in enumerate(like.axes)])


# Around the map

def pad(op, net):
    value = op.value()
    pads, fill, axes = op.setting("pads", 1), op.setting("value", 2), op.setting("axes", 3)
    fill = 0.0 if fill is None else float(np.ravel(fill)[0])
    rank = len(value.axes)
    axes = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]
    if pads is None or len(pads) != 2 * len(axes):
        op.fail("its pads are {!r} for {} axes".format(pads, len(axes)))
    wanted = dict((axis, (int(pads[i]), int(pads[i + len(axes)]))) for i, axis in enumerate(axes)
                  if pads[i] or pads[i + len(axes)])
    if not wanted:
        return value
    mode = op.attribute("mode", "constant")
    if mode != "constant":
        op.fail("its mode is {!r}, only 'constant' is supported".format(mode))
    if any(value.letter(axis) is None for axis in wanted):
        value = net.as_map(value)
    sides = {}
    for axis, (before, after) in wanted.items():
        letter = value.letter(axis)
        if letter not in ("h", "w"):
            op.fail("pads axis {}, only height and width are supported".format(axis))
        sides[letter] = (before, after)
    return padded(op, net, value, sides, fill)


def padded(op, net, value, sides, fill):
    """`value` with pixels put around it, or cut off where the number is negative."""
    (top, bottom), (left, right) = sides.get("h", (0, 0)), sides.get("w", (0, 0))
    numbers = [top, left, bottom, right]
    for name, key, amounts in (("crop", "cropping", [max(-n, 0) for n in numbers]),
                               ("pad", "padding", [max(n, 0) for n in numbers])):
        if not any(amounts):
            continue
        sign = 1 if name == "pad" else -1
        shape = (value.item.shape[0] + sign * (amounts[0] + amounts[2]),
                 value.item.shape[1] + sign * (amounts[1] + amounts[3]), value.item.shape[2])
        attributes = {key: amounts}
        if name == "pad" and fill != 0.0:
            attributes["value"] = fill
        item = net.emit(name, [value.item], attributes, shape)
        for letter in "hw":
            if item.shape[LETTERS.index(letter)] != size_of(value.base[letter]):
                value = net.replaced(value, item, letter)
        value = value.with_item(item)
    return value


def depth_to_space(op, net):
    block = op.attribute("blocksize")
    b, c, h, w = op.value().shape
    if op.attribute("mode", "DCR") == "DCR":
        value = net.reshape(op.value(), [b, block, block, c // block ** 2, h, w])
        order = (0, 3, 4, 1, 5, 2)
    else:
        value = net.reshape(op.value(), [b, c // block ** 2, block, block, h, w])
        order = (0, 1, 4, 2, 5, 3)
    value = value.with_axes([value.axes[axis] for axis in order])
    return net.reshape(value, [b, c // block ** 2, h * block, w * block])


def space_to_depth(op, net):
    block = op.attribute("blocksize")
    b, c, h, w = op.value().shape
    value = net.reshape(op.value(), [b, c, h // block, block, w // block, block])
    order = (0, 3, 5, 1, 2, 4) if op.attribute("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    value = value.with_axes([value.axes[axis] for axis in order])
    return net.reshape(value, [b, c * block ** 2, h // block, w // block])


def together(op, net, first, second):
    """Two values whose items can be joined number by number, and the arrangement of the result."""
    first, second = aligned(first, second)
    if first is None:
        op.fail("joins tensors whose shapes do not fit")
    if size_of(sum(first.axes, ())) < size_of(sum(second.axes, ())):
        second, first, swapped = first, second, True
    else:
        swapped = False
    pairs = pairs_of(first, second)
    base, fits = {}, True
    for letter in LETTERS:
        partner = tuple(pairs.get(id(atom)) for atom in second.base[letter])
        if not partner or partner == first.base[letter]:
            base[letter] = first.base[letter]
        elif not first.base[letter] and not any(partner):
            base[letter] = second.base[letter]
        else:
            fits = False
    if not fits:
        second = _like(op, net, second, first, pairs)
        base = first.base
    axes = [a or b for a, b in zip(first.axes, second.axes)]
    items = (second.item, first.item) if swapped else (first.item, second.item)
    return items, base, axes


def _like(op, net, second, first, pairs):
    """`second` arranged as the item of `first` is."""
    partners = dict((id(x), atom) for axis in second.axes for atom in axis
                    for x in [pairs.get(id(atom))] if x is not None)
    wanted = []
    for letter in LETTERS:
        found = [partners.get(id(atom)) for atom in first.base[letter]]
        wanted.append(tuple(atom for atom in found if atom is not None))
        if any(found) and not all(found):
            op.fail("joins tensors of shapes {} and {}".format(first.shape, second.shape))
    return net.settled(second, *wanted)
