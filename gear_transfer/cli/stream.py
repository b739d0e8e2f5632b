"""Photographs from standard input, line by line, each answered as it comes."""
import base64
import binascii
import collections
import os
import sys

#: A photograph: what its row is called, what is read (a path or the bytes of a file), and None or
#: why there is nothing to read.
Photograph = collections.namedtuple("Photograph", ["name", "image", "error"])

_BLOCK = 1 << 16


def iterate_input(is_base64):
    """The photographs that the lines of standard input name or, in base64, hold.

    Parameters
    ----------
    is_base64 : bool

    Yields
    ------
    Photograph or None
        None where nothing more has come yet.
    """
    number = 0
    for lines in _blocks_of_lines(sys.stdin.fileno()):
        for line in lines:
            number += 1
            line = line.rstrip(b"\r")
            if line:
                yield _decoded(line, number) if is_base64 else _named(line)
        yield None


def _named(line):
    path = os.fsdecode(line)
    return Photograph(path, path, None)


def _decoded(line, number):
    name = "-:{}".format(number)
    try:
        return Photograph(name, base64.b64decode(line, validate=True), None)
    except binascii.Error as error:
        return Photograph(name, None, "the line is not base64: {}".format(error))


def _blocks_of_lines(descriptor):
    """Lists of the whole lines that have come, each list as soon as there is one."""
    parts = []
    while True:
        block = os.read(descriptor, _BLOCK)  # waits for something, not for all of it
        if not block:
            break
        ended, newline, rest = block.rpartition(b"\n")
        if not newline:
            parts.append(block)
            continue
        yield b"".join(parts + [ended]).split(b"\n")
        parts = [rest]
    if b"".join(parts):
        yield [b"".join(parts)]
