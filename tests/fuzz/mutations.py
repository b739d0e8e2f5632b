"""How inputs are changed, and what every target has."""
import json
import os

INTERESTING = [0, 1, 2, 3, 4, 8, 127, 128, 255, 256, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, 1 << 31,
               (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


class Target(object):
    """A parser under test.

    Parameters
    ----------
    folder : str
        Where the input is put as a file.
    """

    #: The name of the file that holds the input.
    file_name = "input"
    #: Bytes of memory held when the peak was last reset; see `run_checked`.
    resident = None

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, self.file_name)

    def seeds(self):
        """A few whole files, list of bytes."""
        raise NotImplementedError

    def mutate(self, data, rng):
        """Another input made of `data`, bytes."""
        return mutate_bytes(data, rng)

    def put(self, data):
        """Make the file."""
        with open(self.path, "wb") as stream:
            stream.write(data)

    def run(self, data):
        """Read the input as a user would; whether there was something to read."""
        raise NotImplementedError

    def written_by(self, write):
        """The bytes of the file that ``write(path)`` makes."""
        path = os.path.join(self.folder, "seed")
        write(path)
        with open(path, "rb") as stream:
            data = stream.read()
        os.remove(path)
        return data


def mutate_bytes(data, rng):
    """Flip, overwrite, copy, insert, cut or repeat, one to eight times."""
    data = bytearray(data)
    for _ in range(1 << rng.randrange(4)):
        if not data:
            data = bytearray(b"\0")
        place = rng.randrange(len(data))
        kind = rng.randrange(7)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            width = rng.choice((2, 4, 8))
            number = rng.choice(INTERESTING) & ((1 << 8 * width) - 1)
            order = rng.choice(("little", "big"))
            data[place:place + width] = number.to_bytes(width, order)
        elif kind == 3:
            other, length = rng.randrange(len(data)), rng.randrange(1, 33)
            data[place:place + length] = data[other:other + length]
        elif kind == 4:
            data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif kind == 5:
            del data[place:place + rng.randrange(1, 33)]
        else:
            width = rng.choice((1, 2, 4, 8))
            piece = bytes(data[place:place + width])
            number = int.from_bytes(piece, "little") + rng.randrange(-8, 9)
            data[place:place + width] = (number % (1 << 8 * len(piece))).to_bytes(
                len(piece), "little")
    return bytes(data)


def mutate_json(value, rng):
    """A value of JSON with one place changed."""
    places = []

    def visit(item, replace):
        places.append((item, replace))
        children = item.items() if isinstance(item, dict) else (
            enumerate(item) if isinstance(item, list) else ())
        for key, child in list(children):
            visit(child, lambda new, key=key: item.__setitem__(key, new))

    box = [value]
    visit(value, lambda new: box.__setitem__(0, new))
    item, replace = rng.choice(places)
    other = rng.choice(places)[0]
    if isinstance(item, dict) and item and rng.random() < 0.5:
        key = rng.choice(sorted(item, key=str))
        if rng.random() < 0.5:
            del item[key]
        else:
            item[key + "x"] = item[key]
    elif isinstance(item, list) and item and rng.random() < 0.5:
        if rng.random() < 0.5:
            item.pop(rng.randrange(len(item)))
        else:
            item.insert(rng.randrange(len(item) + 1), json.loads(json.dumps(other)))
    elif isinstance(item, str) and item[:1] in "[{" and item:
        try:
            replace(json.dumps(mutate_json(json.loads(item), rng)))
        except ValueError:
            replace("")
    elif isinstance(item, (int, float)) and not isinstance(item, bool) and rng.random() < 0.5:
        replace(rng.choice(INTERESTING + [-1, item + 1, item - 1, -item, item * 0.5, 1e308, 1e-320]))
    else:
        replace(rng.choice([None, True, False, 0, -1, 1.5, "", "same", "valid", "conv", [], {},
                            [1, 1], json.loads(json.dumps(other))]))
    return box[0]
