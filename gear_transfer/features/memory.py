"""How much memory the maps of a network take, reckoned before any of it is taken."""
import os

from ..errors import GraphError

#: Numbers that the maps of one image may hold at a time, over 1 GB.
MOST_VALUES = 1 << 28

#: Photographs that are decoded for the backbone at a time.
_DECODED = 32

#: Files that say how much memory a container may use, of both versions of control groups.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_maps(nodes, shapes, outputs, images):
    """Refuse a network whose maps are too large, as those of a small hostile file may be.

    Parameters
    ----------
    nodes : list of Node
    shapes : dict of str to (height, width, channels)
        Of each node's result.
    outputs : sequence of str
        Nodes whose results are wanted.
    images : int
        That go through the network at the same time.

    Raises
    ------
    GraphError
    """
    height, width, channels = shapes[nodes[0].name]
    values = most_values(nodes, shapes, outputs)
    needed = 4 * values * images + _DECODED * height * width * channels
    available = memory_size()
    if values > MOST_VALUES or needed > available:
        raise GraphError(
            "at an input size of {} x {} the maps of the network take {:,.1f} GB for {} at a time; "
            "{}: give a smaller input_size{}".format(
                height, width, needed / 1e9, "one image" if images == 1 else
                "the {} images".format(images), "at most {:.1f} GB an image are allowed".format(
                    4 * MOST_VALUES / 1e9) if values > MOST_VALUES else
                "this machine has {:,.1f} GB".format(available / 1e9),
                "" if values > MOST_VALUES else " or fewer threads"))


def most_values(nodes, shapes, outputs):
    """Numbers in the maps of one image that are needed at the same time, at most.

    No more than a plan needs; it has fewer where results take the place of inputs.
    """
    sizes = dict((name, height * width * channels)
                 for name, (height, width, channels) in shapes.items())
    last = {}
    for i, node in enumerate(nodes):
        for name in (node.name,) + node.inputs:
            last[name] = i
    for name in outputs:
        last[name] = len(nodes)
    ending = {}
    for name, i in last.items():
        ending.setdefault(i, []).append(name)
    alive = most = 0
    for i, node in enumerate(nodes):
        alive += sizes[node.name]
        most = max(most, alive)
        alive -= sum(sizes[name] for name in ending.get(i, ()))
    return most


def memory_size():
    """Bytes of memory that this process may use, as far as the system tells."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        try:
            with open(path) as stream:
                text = stream.read().strip()
        except OSError:
            continue
        if text.isdigit():
            size = min(size, int(text))
    return size
