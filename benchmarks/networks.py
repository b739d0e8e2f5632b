"""Any networks in ONNX files, ours against OpenVINO and ONNX Runtime, by processor time.

    python benchmarks/networks.py resnet50.onnx mobilenet_v2.onnx ... [--batches 1 8 32]

Each engine runs the whole network in a process of its own that stays alive; they are asked in turn,
round after round.  What counts are the seconds of all threads, which other work on the machine
disturbs least.  The peers get pixels that are scaled already, in their own layout.  OpenVINO's int8
is what NNCF makes of the file.  PyTorch writes such files with
`torch.onnx.export`.
"""
import argparse
import collections
import math
import os
import statistics
import tempfile

import numpy as np
import processes
import report

ENGINES = collections.OrderedDict([("ours", None), ("openvino", "openvino"),
                                   ("onnxruntime", "onnxruntime")])
PRECISIONS = ("float32", "bf16", "int8")
PHOTOGRAPHS = 32
IMAGES_A_REQUEST = 8


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("files", nargs="+", metavar="FILE.onnx")
    processes.add_options(parser)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES),
                        help="default: all; ours is always among them")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    return parser.parse_args()


def start(arguments, path, precision, batch, images):
    """The workers of one measurement, by engine."""
    workers = collections.OrderedDict()
    for name, peer in ENGINES.items():
        unknown = name == "onnxruntime" and precision != "float32"
        if unknown or name not in arguments.engines and peer is not None:
            continue
        python = arguments.python if peer is None else processes.peer_python(arguments.peers, peer)
        settings = {"model": path, "engine": name, "precision": precision, "batch": batch,
                    "threads": arguments.threads, "size": arguments.size, "images": images}
        worker = processes.Worker(python, "worker_network", settings, is_peer=peer is not None)
        if "unable" in worker.greeting:
            print("{} in {}: {}".format(name, precision, worker.greeting["unable"]))
            worker.close()
        else:
            workers[name] = worker
    return workers


def measure(arguments, path, precision, batch, images):
    """Processor seconds of an image in each round, by engine."""
    workers = start(arguments, path, precision, batch, images)
    calls = max(1, IMAGES_A_REQUEST // batch)
    seconds = collections.OrderedDict((name, []) for name in workers)
    for number in range(-1, arguments.rounds):
        for name, worker in workers.items():
            spent = worker.ask(calls=calls)["processor_seconds"] / (calls * batch)
            if number >= 0:  # the round before the first warms up
                seconds[name].append(spent)
    for worker in workers.values():
        worker.close()
    return seconds


def geometric_mean(numbers):
    return math.exp(sum(math.log(number) for number in numbers) / len(numbers))


def write_images(arguments, folder):
    """Path of an npz of random photographs."""
    path = os.path.join(folder, "images.npz")
    shape = (PHOTOGRAPHS, arguments.size, arguments.size, 3)
    np.savez(path, images_uint8=np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8))
    return path


def compare(arguments, path, images, all_ratios):
    """Rows of one network; adds to the ratios of each peer and precision."""
    for precision in arguments.precisions:
        for batch in arguments.batches:
            seconds = measure(arguments, os.path.abspath(path), precision, batch, images)
            if "ours" not in seconds:
                continue
            row = [os.path.basename(path), precision, str(batch),
                   report.spread([1e3 * each for each in seconds["ours"]])]
            for peer in peers_of(arguments):
                cell = ""
                if peer in seconds:
                    ratio = statistics.median(report.ratios(seconds[peer], seconds["ours"]))
                    all_ratios[peer, precision].append(ratio)
                    cell = "{:.2f}".format(ratio)
                row.append(cell)
            print(" ".join(row), flush=True)
            yield row


def peers_of(arguments):
    return [name for name in ENGINES if name != "ours" and name in arguments.engines]


def main():
    arguments = parse()
    rows, all_ratios = [], collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        images = write_images(arguments, temporary)
        for path in arguments.files:
            rows += compare(arguments, path, images, all_ratios)
    print(report.table(["network", "precision", "batch", "ours, ms an image"] +
                       ["times as fast as " + peer for peer in peers_of(arguments)], rows))
    for (peer, precision), ratios in sorted(all_ratios.items()):
        print("{} in {}: geometric mean {:.2f}, least {:.2f}".format(
            peer, precision, geometric_mean(ratios), min(ratios)))


if __name__ == "__main__":
    main()
