"""The structure of an HDF5 file: as much of it as h5py writes unless told otherwise.

After the "HDF5 File Format Specification Version 3.0" of The HDF Group: superblocks 0 to 3, object
headers 1 and 2, groups in symbol tables or link messages, attributes and layouts within the object
header. libhdf5 is not used, because it is made for files that one trusts: bytes changed at random
make it crash or loop.

Everything is read once. What is read, of whatever size it claims to be, counts against a budget of
twice the file's size, so that a file which refers to itself comes to an end.
"""
import struct
from collections import namedtuple

import numpy as np

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = (1 << 64) - 1

#: Kinds of header messages.
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
GROUP_INFO, FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x0a, 0x0b, 0x0c, 0x10, 0x11
ATTRIBUTE_INFO = 0x15
GROUP_MESSAGES = (LINK_INFO, LINK, GROUP_INFO, SYMBOL_TABLE)

#: Classes of data types.
INTEGER, FLOAT, TEXT, VARIABLE_LENGTH = 0, 1, 3, 9

#: The budget: bytes beyond twice the size of the file, and the least that anything costs.
SPARE = 1 << 20
LEAST_COST = 64

MOST_MESSAGES = 1 << 16
MOST_VALUES = 1 << 16
LONGEST_NAME = 1 << 12
HIGHEST_RANK = 32

#: Bit offset, precision, exponent's place and size, mantissa's place and size, bias of IEEE 754.
_IEEE = {2: (0, 16, 10, 5, 0, 10, 15), 4: (0, 32, 23, 8, 0, 23, 127), 8: (0, 64, 52, 11, 0, 52, 1023)}

DataType = namedtuple("DataType", "kind size bits properties")


class Structure(object):
    """Objects, links and attributes of an open HDF5 file, by the addresses of their headers.

    Parameters
    ----------
    stream : file
        Binary, open for reading.
    size : int
        Bytes in the file.
    fail : callable
        ``fail(reason)`` raises the error.
    """

    def __init__(self, stream, size, fail):
        self.size = size
        self.fail = fail
        self._stream = stream
        self._budget = 2 * size + SPARE
        self._messages = {}
        self._links = {}
        self._heaps = {}

    def spend(self, count):
        """Count `count` bytes of structure against the budget."""
        self._budget -= max(count, LEAST_COST)
        if self._budget < 0:
            self.fail("damaged: its structure refers to the same bytes over and over")

    def check_place(self, address, count):
        """Refuse bytes that are not in the file."""
        if address + count > self.size:
            self.fail("cut short or damaged: it refers to {} bytes at {}, but has only {}".format(
                count, address, self.size))

    def read(self, address, count):
        """`count` bytes of structure at `address`."""
        self.check_place(address, count)
        self.spend(count)
        self._stream.seek(address)
        data = self._stream.read(count)
        if len(data) < count:
            self.fail("became shorter while it was read")
        return data

    def root(self):
        """Address of the root group's header."""
        head = self.read(0, min(self.size, 96))
        version = head[8]
        if version > 3:
            self.fail("has a superblock of version {}, which is not known".format(version))
        old = version < 2
        sizes = head[13:15] if old else head[9:11]
        place = (24, 28, 12, 12)[version]
        base, root = struct.unpack_from("<Q", head, place) + struct.unpack_from(
            "<Q", head, place + (40 if old else 24))
        if sizes != b"\x08\x08" or base != 0:
            self.fail("has addresses of {} bytes from {} on, only 8 from 0 are read".format(
                sizes[0], base))
        return root

    # Object headers

    def messages(self, address):
        """The messages in the object header at `address`, list of (kind, bytes)."""
        if address not in self._messages:
            self._messages[address] = self._read_messages(address)
        return self._messages[address]

    def message(self, address, kind):
        """The first message of a kind, bytes or None."""
        for found, body in self.messages(address):
            if found == kind:
                return body
        return None

    def _read_messages(self, address):
        self.check_place(address, 16)
        head = self.read(address, min(34, self.size - address))
        is_new = head[:4] == b"OHDR"
        if is_new and head[4] == 2:
            flags = head[5]
            place = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            blocks = [(address + place + width,
                       int.from_bytes(head[place:place + width], "little"))]
            prefix = 6 if flags & 4 else 4
        elif head[0] == 1:
            blocks = [(address + 16, struct.unpack_from("<I", head, 8)[0])]
            prefix = 8
        else:
            self.fail("damaged: no object header at {}".format(address))
        messages = []
        while blocks:
            data = self.read(*blocks.pop(0))
            for kind, flags, body in self._split(data, prefix, is_new):
                if kind == CONTINUATION:
                    start, length = struct.unpack_from("<QQ", body)
                    # A new block has a signature before its messages and a checksum behind them.
                    blocks.append((start + 4, length - 8) if is_new else (start, length))
                    if length < 8:
                        self.fail("damaged: a block of messages of {} bytes".format(length))
                elif kind in (DATASPACE, DATATYPE, FILTERS, ATTRIBUTE) and flags & 2:
                    self.fail("shares a part of an object's header with others (a committed data "
                              "type), which is not read")
                else:
                    messages.append((kind, body))
            if len(messages) > MOST_MESSAGES:
                self.fail("damaged: an object with more than {} messages".format(MOST_MESSAGES))
        return messages

    @staticmethod
    def _split(data, prefix, is_new):
        """(kind, flags, body) of each message in a block."""
        place = 0
        while place + prefix <= len(data):
            kind, length, flags = struct.unpack_from("<BHB" if is_new else "<HHB", data, place)
            place += prefix
            body = data[place:place + length]
            place += length
            if kind != 0:
                yield kind, flags, body

    # Groups

    def is_group(self, address):
        """Whether the object is a group."""
        return any(kind in GROUP_MESSAGES for kind, _ in self.messages(address))

    def is_dataset(self, address):
        """Whether the object is a data set."""
        return self.message(address, LAYOUT) is not None

    def links(self, address):
        """What a group holds: address by name, None for a soft or external link."""
        if address not in self._links:
            found = {}
            for kind, body in self.messages(address):
                if kind == SYMBOL_TABLE:
                    tree, heap = struct.unpack_from("<QQ", body)
                    self._read_symbols(tree, self._local_heap(heap), found)
                elif kind == LINK:
                    self._read_link(body, found)
                elif kind == LINK_INFO:
                    self._refuse_dense(body, 8, "links")
            self._links[address] = found
        return self._links[address]

    def _refuse_dense(self, body, width, what):
        """Refuse what is kept outside the object header, as only newer kinds of files do."""
        place = 2 + (width if body[1] & 1 else 0)
        if struct.unpack_from("<Q", body, place)[0] != UNDEFINED:
            self.fail("keeps {} in the manner of libver='latest', which is not read; write the "
                      "file with h5py's default settings".format(what))

    def _local_heap(self, address):
        head = self.read(address, 32)
        if head[:4] != b"HEAP":
            self.fail("damaged: no heap of names at {}".format(address))
        return self.read(struct.unpack_from("<Q", head, 24)[0], struct.unpack_from("<Q", head, 8)[0])

    def _read_symbols(self, tree, heap, found):
        """Walk a B-tree of symbol tables."""
        waiting = [tree]
        while waiting:
            address = waiting.pop()
            head = self.read(address, 8)
            count = struct.unpack_from("<H", head, 6)[0]
            if head[:5] == b"TREE\0":
                children = self.read(address + 24, 8 + 16 * count)
                waiting.extend(struct.unpack_from("<Q", children, 8 + 16 * i)[0]
                               for i in range(count))
            elif head[:4] == b"SNOD":
                entries = self.read(address + 8, 40 * count)
                for i in range(count):
                    offset, target, cached = struct.unpack_from("<QQI", entries, 40 * i)
                    end = heap.find(b"\0", offset, offset + LONGEST_NAME)
                    if end < 0:
                        self.fail("damaged: a name without end")
                    self.spend(end - offset)
                    found[text(heap[offset:end])] = None if cached == 2 else target
            else:
                self.fail("damaged: no table of names at {}".format(address))

    def _read_link(self, body, found):
        flags = body[1]
        place = 2
        kind = 0
        if flags & 8:
            kind = body[place]
            place += 1
        place += (8 if flags & 4 else 0) + (1 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(body[place:place + width], "little")
        place += width
        self.spend(length)
        name = text(body[place:place + length])
        found[name] = struct.unpack_from("<Q", body, place + length)[0] if kind == 0 else None

    # Attributes

    def attribute(self, address, name):
        """The texts in an attribute, list of str, or None where there is none of that name."""
        for kind, body in self.messages(address):
            if kind == ATTRIBUTE:
                found, rest = self._attribute_name(body)
                if found == name:
                    return self._attribute_texts(name, *rest)
        dense = self.message(address, ATTRIBUTE_INFO)
        if dense is not None:
            self._refuse_dense(dense, 2, "attributes")
        return None

    def _attribute_name(self, body):
        version, flags, *sizes = struct.unpack_from("<BBHHH", body)
        if version not in (1, 2, 3) or version > 1 and flags & 3:
            self.fail("has an attribute of a kind that is not read")
        place = 9 if version == 3 else 8
        parts = []
        for size in sizes:
            parts.append(body[place:place + size])
            place += -(-size // 8) * 8 if version == 1 else size
        return text(parts[0].split(b"\0")[0]), (parts[1], parts[2], body[place:])

    def _attribute_texts(self, name, type_body, space_body, data):
        kind = self.data_type(type_body)
        count = product(self.shape(space_body) or ())
        if self.shape(space_body) is None:
            count = 0
        if count > MOST_VALUES or count * kind.size > len(data):
            self.fail("attribute '{}' claims {} values of {} bytes together".format(
                name, count, count * kind.size))
        if count and kind.kind != TEXT and not (kind.kind == VARIABLE_LENGTH and kind.bits & 15 == 1
                                                and kind.size == 16):
            self.fail("attribute '{}' is not a text".format(name))
        items = [data[i * kind.size:(i + 1) * kind.size] for i in range(count)]
        if kind.kind == VARIABLE_LENGTH:
            items = [self._from_global_heap(*struct.unpack("<IQI", item)) for item in items]
        return [text(item.rstrip(b"\0")) for item in items]

    def _from_global_heap(self, length, address, index):
        if length == 0:
            return b""
        if address not in self._heaps:
            self._heaps[address] = self._global_heap(address)
        data, objects = self._heaps[address]
        start, size = objects.get(index, (0, 0))
        if length > size:
            self.fail("damaged: a text of {} bytes where {} are stored".format(length, size))
        self.spend(length)
        return data[start:start + length]

    def _global_heap(self, address):
        head = self.read(address, 16)
        if head[:4] != b"GCOL":
            self.fail("damaged: no heap of texts at {}".format(address))
        data = self.read(address, struct.unpack_from("<Q", head, 8)[0])
        objects = {}
        place = 16
        while place + 16 <= len(data):
            index, size = struct.unpack_from("<H6xQ", data, place)
            place += 16
            if index == 0 or place + size > len(data):
                break
            self.spend(0)
            objects[index] = (place, size)
            place += -(-size // 8) * 8
        return data, objects

    # Shapes and types

    def shape(self, body):
        """The sides that a dataspace message tells, tuple of int; None where there are no values."""
        version, rank, flags = struct.unpack_from("<BBB", body)
        if version not in (1, 2) or rank > HIGHEST_RANK:
            self.fail("damaged: a dataspace of version {} and rank {}".format(version, rank))
        if version == 2 and body[3] == 2:
            return None
        return struct.unpack_from("<{}Q".format(rank), body, 8 if version == 1 else 4)

    @staticmethod
    def data_type(body):
        """The type in a data type message, a DataType."""
        kind, bits, size = struct.unpack_from("<B3sI", body)
        return DataType(kind & 15, size, int.from_bytes(bits, "little"), body[8:])


def number_type(kind):
    """The NumPy type of plain numbers, or None where a DataType is anything else."""
    order = "<>"[kind.bits & 1]
    if kind.kind == INTEGER and kind.size in (1, 2, 4, 8):
        if struct.unpack_from("<HH", kind.properties) == (0, 8 * kind.size):
            return np.dtype("{}{}{}".format(order, "i" if kind.bits & 8 else "u", kind.size))
    if kind.kind == FLOAT and kind.size in _IEEE and kind.bits & 0x7e == 0x20:
        sign_is_first = kind.bits >> 8 & 255 == 8 * kind.size - 1
        if sign_is_first and struct.unpack_from("<HHBBBBI", kind.properties) == _IEEE[kind.size]:
            return np.dtype("{}f{}".format(order, kind.size))
    return None


def product(numbers):
    """Their product, of any size."""
    result = 1
    for number in numbers:
        result *= int(number)
    return result


def text(data):
    """Bytes as str."""
    return data.decode("utf-8", "replace")
