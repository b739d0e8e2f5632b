"""What query, key and value of an attention are made of."""
from .values import Atom, Value, size_of


def atoms_of_bias(op, bias, view):
    """The atoms of a view, and the size of a bias along each: all of it, or 1."""
    atoms, sizes = [], []
    for axis, side in zip(view.axes, bias.shape):
        inner = [atom for atom in axis if atom.letter != "b"]
        if side not in (1, size_of(inner)):
            op.fail("adds a bias of shape {} to scores of shape {}".format(bias.shape, view.shape))
        atoms += inner
        sizes += [1 if side == 1 else atom.size for atom in inner]
    return atoms, sizes


class Part(object):
    """Query, key or value: which atoms are windows, heads, tokens and width."""

    def __init__(self, op, net, value):
        self.value = value
        self.tokens, self.width = value.axes[-2:]
        lead = [atom for axis in value.axes[:-2] for atom in net.without_batch(axis)]
        mine = set(id(atom) for atom in value.base["c"])
        self.windows = tuple(atom for atom in lead if id(atom) not in mine)
        self.heads = tuple(atom for atom in lead if id(atom) in mine)
        if net.batch in self.tokens + self.width or any(
                id(atom) in mine for atom in self.tokens) or any(
                    id(atom) not in mine for atom in self.width):
            op.fail("is attention that is not over the places of a map or row of tokens")

    def is_plain(self):
        """Whether the channels are (heads, width) and the places the tokens, in order."""
        base = self.value.base
        return (base["c"] == self.heads + self.width
                and (self.windows or base["h"] + base["w"] == self.tokens))

    def arranged(self, net):
        """The item as tokens (n, 1, heads * width)."""
        return net.arranged(self.value, self.tokens, (), self.heads + self.width)

    def result(self, item):
        """The value of an item (n, 1, heads * width) with the axes of this part."""
        exchange = {}
        for letter, atoms in (("h", self.tokens), ("c", self.heads + self.width)):
            exchange.update((id(atom), Atom(letter, atom.size)) for atom in atoms)
        base = {"h": tuple(exchange[id(atom)] for atom in self.tokens), "w": (),
                "c": tuple(exchange[id(atom)] for atom in self.heads + self.width)}
        return Value(item, base, [tuple(exchange.get(id(atom), atom) for atom in axis)
                                  for axis in self.value.axes])


def packed_source(parts):
    """The item of which query, key and value are the three thirds in this order, else None."""
    if not all(part.is_plain() for part in parts):
        return None
    items = [part.value.item for part in parts]
    if any(item.op != "slice" or item.attributes["axis"] != "channels"
           or item.attributes.get("step", 1) != 1 for item in items):
        return None
    source, count = items[0].inputs[0], items[0].shape[2]
    if any(item.inputs[0] is not source or item.shape[2] != count for item in items):
        return None
    starts = [item.attributes["start"] % source.shape[2] for item in items]
    return source if starts == [0, count, 2 * count] and source.shape[2] == 3 * count else None
