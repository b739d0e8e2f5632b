"""Where the time of a network goes, layer by layer, beside what the machine could do.

    python benchmarks/layers.py [--rows 25] [--write]

Each step of the plan that runs batches is timed on one thread (`Backbone.profile`). Its bound is the
larger of two times: its operations at the speed of a large matrix product in its precision, and its
bytes (operands, weights and result, once each) at the speed of copying within the caches. What it
takes beyond its bound can be won; the tables are sorted by that. Operations are those of the plain
convolution, padding included: implementations that leave padding out, Winograd's method, which
multiplies less, and on matrix units products of tiles, which are faster than oneDNN's matrix
product, are how a step passes its bound. A concatenation copies only what is not in its place yet.
"""
import argparse
import collections
import os
import time

import numpy as np

import processes
import report

#: Bytes copied for the speed within the caches: about what lies between two layers.
CACHED = 1 << 22
#: And for the speed of memory.
UNCACHED = 1 << 28

ELEMENT = {"float32": 4, "bf16": 2, "int8": 1}

#: What is known of a step: operations and bytes of one image; kind groups steps in the totals.
Work = collections.namedtuple("Work", ["kind", "operations", "bytes"])
Row = collections.namedtuple("Row", ["timing", "kind", "operations", "bound"])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_shared_option(parser)
    parser.add_argument("--networks", nargs="+", choices=["full", "default", "lite0", "lite2"],
                        default=["full", "default"],
                        help="full: mixed10 at 299; default: the default layer and size; lite0, "
                             "lite2: the head of EfficientNet-Lite at its native size")
    parser.add_argument("--precisions", nargs="+", choices=list(ELEMENT), default=list(ELEMENT),
                        help="those that this machine cannot run are left out (default: all)")
    parser.add_argument("--repeats", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--rows", type=int, help="only the first N of each table (default: all)")
    report.add_write_option(parser)
    return parser.parse_args()


class Network:
    """The work in the layers of a backbone."""

    def __init__(self, backbone):
        from gear_transfer import _core
        from gear_transfer.features.backbone import describe
        network = backbone.network
        self._nodes = dict((node.name, node) for node in network.nodes)
        self._arrays = network.arrays
        nodes, arrays = describe(network)
        shapes = _core.infer_shapes(nodes, arrays, *backbone.input_size)
        self._shapes = dict(zip(network.layers, shapes))
        self._last = network.nodes[-1].name
        self._steps = set(layer for layer, _, _ in backbone.primitives())
        self._together = backbone.sub_batch  # images that share one reading of the weights

    def work(self, timing, element):
        """What a step does for one image whose numbers have `element` bytes."""
        node = self._nodes.get(timing.layer, self._nodes[self._last])
        result = int(np.prod(self._shapes[node.name]))
        if timing.operation == "input":
            return Work("input", 0, result * (1 + element))
        if timing.operation == "reorder":
            # Before a convolution it prepares what that reads; at the end, what the caller gets.
            moved = int(np.prod(self._shapes[node.inputs[0]])) if node.inputs else result
            moved = moved if timing.layer in self._nodes else self._shapes[node.name][2]
            return Work("reorder", 0, 2 * element * moved)
        read = sum(int(np.prod(self._shapes[name])) for name in node.inputs)
        if timing.layer not in self._nodes:  # the pool over the whole map of an output
            read, result = result, self._shapes[node.name][2]
        if timing.operation == "block":
            return self._block(node, element)
        if timing.operation != "convolution":
            return Work(timing.operation, 0, element * (read + result))
        height, width, channels_in, channels = self._arrays[node.attributes["kernel"]].shape
        weights = height * width * channels_in * channels
        strides = node.attributes["strides"]
        kind = "convolution {} x {}{}".format(
            height, width, ", stride 2" if strides[0] > 1 else "")
        return Work(kind, 2 * result // channels * weights,
                    element * (read + result + weights / self._together))

    def _block(self, last, element):
        """An inverted residual: its convolutions but for the last have no step, nor results in memory."""
        order = list(self._nodes)
        node = last
        if last.op == "add":
            node = self._nodes[max(last.inputs, key=order.index)]
        operations, weights = 0, 0
        while node.op not in ("input", "add"):
            if node.op == "conv2d":
                if weights and node.name in self._steps:
                    break
                size = int(np.prod(self._arrays[node.attributes["kernel"]].shape))
                height, width, _ = self._shapes[node.name]
                operations += 2 * height * width * size
                weights += size
            node = self._nodes[node.inputs[0]]
        moved = int(np.prod(self._shapes[node.name])) + int(np.prod(self._shapes[last.name]))
        return Work("block", operations, element * (moved + weights / self._together))


def rows_of(backbone, images, repeats, peaks):
    """A Row for each step."""
    timings = backbone.profile(images, repeats)  # in int8 the first images decide the ranges
    network = Network(backbone)
    rows = []
    for timing in timings:
        work = network.work(timing, ELEMENT[backbone.precision])
        bound = max(work.operations / peaks["product"], work.bytes / peaks["cached"]) / 1e9
        rows.append(Row(timing, work.kind, work.operations, bound))
    return rows


def cells(rows, whole):
    """Milliseconds, their share of the whole, GFLOP/s, share of the bound and what can be won."""
    seconds = sum(row.timing.seconds for row in rows)
    operations = sum(row.operations for row in rows)
    bound = sum(row.bound for row in rows)
    return ["{:.3f}".format(1e3 * seconds), "{:.1%}".format(seconds / whole),
            "{:.0f}".format(operations / seconds / 1e9) if operations else "",
            "{:.0%}".format(bound / seconds), "{:.3f}".format(1e3 * (seconds - bound))]


def gain(rows):
    return sum(row.timing.seconds - row.bound for row in rows)


def layer_table(rows, count):
    """The steps with the most to win, and the others in one row."""
    rows = sorted(rows, key=lambda row: -gain([row]))
    count = len(rows) if count is None else count
    whole = sum(row.timing.seconds for row in rows)
    lines = [[row.timing.layer, row.kind, row.timing.implementation] + cells([row], whole)
             for row in rows[:count]]
    if rows[count:]:
        lines.append(["{} others".format(len(rows[count:])), "", ""] + cells(rows[count:], whole))
    lines.append(["all", "", ""] + cells(rows, whole))
    return report.table(["layer", "operation", "implementation", "ms an image", "of all",
                         "GFLOP/s", "of the bound", "ms to win"], lines)


def kind_table(rows):
    """Totals by kind of operation, the most to win first."""
    kinds = collections.defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row)
    whole = sum(row.timing.seconds for row in rows)
    lines = [[kind, str(len(own))] + cells(own, whole)
             for kind, own in sorted(kinds.items(), key=lambda item: -gain(item[1]))]
    lines.append(["all", str(len(rows))] + cells(rows, whole))
    return report.table(["operation", "steps", "ms an image", "of all", "GFLOP/s", "of the bound",
                         "ms to win"], lines)


def images_a_second(backbone, images, repeats):
    """Median speed of whole batches on all threads."""
    backbone.features(images)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        backbone.features(images)
        seconds.append(time.perf_counter() - started)
    return len(images) / float(np.median(seconds))


def measure(backbone, images, arguments, peaks):
    """Paragraphs and tables of one network in one precision."""
    one, all_threads = peaks[backbone.precision]
    rows = rows_of(backbone, images, arguments.repeats, one)
    operations = sum(row.operations for row in rows)
    rate = images_a_second(backbone, images, arguments.repeats)
    return [
        "{} at {}, {}: {:.2f} GFLOP an image; on {} threads {:.1f} images a second are {:.0f} "
        "GFLOP/s, {:.0%} of a large matrix product on as many threads.".format(
            backbone.layer, backbone.input_size[0], backbone.precision, operations / 1e9,
            backbone.threads, rate, rate * operations / 1e9,
            rate * operations / 1e9 / all_threads["product"]),
        kind_table(rows), layer_table(rows, arguments.rows)]


def measure_peaks(precision, threads):
    """Speeds of a matrix product (10^9 operations a second) and of copying (10^9 bytes)."""
    import peaks
    return {"product": peaks.matrix_product(precision, threads),
            "cached": peaks.copying(CACHED, threads), "memory": peaks.copying(UNCACHED, threads)}


def peak_table(peaks, threads):
    lines = []
    for precision, both in peaks.items():
        for count, own in zip((1, threads), both):
            lines.append(["{}, {}".format(precision, count), "{:.0f}".format(own["product"]),
                          "{:.0f}".format(own["cached"]), "{:.0f}".format(own["memory"])])
    return report.table(["precision, threads", "matrix product, GFLOP/s",
                         "copying 4 MB, GB/s", "copying 268 MB, GB/s"], lines)


def main():
    arguments = parse()
    from gear_transfer import Backbone
    weights = processes.official_weights(arguments.shared)
    lite = dict((name, os.path.join(arguments.shared, "weights", "efficientnet_{}.safetensors".format(
        name))) for name in ("lite0", "lite2"))
    with np.load(processes.shared_file(arguments.shared, "reference",
                                       "inception_v3_features.npz")) as stored:
        photographs = stored["images_uint8"][:16]
    peaks = collections.OrderedDict()
    parts = []
    for network in arguments.networks:
        for precision in arguments.precisions:
            try:
                if network in lite:
                    backbone = Backbone.load(lite[network], layer="head", precision=precision)
                else:
                    backbone = (Backbone.load(weights, layer="mixed10", precision=precision)
                                if network == "full" else Backbone.load("inception_v3", precision=precision))
            except ValueError as error:
                print("{} is left out: {}".format(precision, error))
                continue
            if precision not in peaks:
                peaks[precision] = [measure_peaks(precision, count)
                                    for count in (1, backbone.threads)]
            height, width = backbone.input_size
            images = np.ascontiguousarray(photographs[:, :height, :width])
            parts += measure(backbone, images, arguments, peaks)
    parts.insert(0, " ".join(__doc__.split("\n\n")[-1].split()))
    parts.insert(1, peak_table(peaks, len(os.sched_getaffinity(0))))
    report.publish("layers", "Layer by layer (layers.py)", parts, report.machine(),
                   arguments.write)


if __name__ == "__main__":
    main()
