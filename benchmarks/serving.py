"""Requests a second and the 95th percentile of their time, beside ONNX Runtime behind the same server.

    python benchmarks/serving.py [--clients 1 8 32 64] [--seconds 10] [--rounds 3] [--images FOLDER]

A classifier is trained on the photographs (shapes without --images), saved, and exported to ONNX. Both
are served on the loopback address by the same application, each in a process of its own with all
processors: the saved one in the precision that was chosen for it, ONNX Runtime in float32, or with
--quantized also in the int8 that its own tool makes. The clients of one process send photographs one
after another; the servers take turns, and the median of the rounds counts. Needs the extras serve and
onnx, and onnxruntime. While others work on the machine only the ratios say something.
"""
import argparse
import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import gear_transfer as gt

SERVER = """
import sys
from gear_transfer.classifiers.model_file import load_model
from gear_transfer.serving.limits import DEFAULT_LIMITS
from gear_transfer.serving.server import serve
sys.path.insert(0, sys.argv[1])
from serving import replace_network
model = load_model(sys.argv[2], verbose=0, cache=False)
if len(sys.argv) > 3:
    replace_network(model, sys.argv[3])
serve(model, "127.0.0.1", 0, DEFAULT_LIMITS, lambda address: print(address, flush=True))
"""


def replace_network(model, path):
    """Let ONNX Runtime compute the probabilities of a classifier, all else as it is."""
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    extractor, classes = model.extractor_, len(model.classes_)

    class Backbone(object):
        """What decoding asks of a backbone; its features are the probabilities."""

        input_size = extractor.backbone_.input_size

        def features(self, pixels):
            if not len(pixels):
                return np.zeros((0, classes), np.float32)
            return session.run(None, {"images": np.ascontiguousarray(pixels)})[0]

    from gear_transfer.common.threads import check_threads
    from gear_transfer.features.extraction import iterate_features
    from gear_transfer.features.extractor import Extraction
    rule, network = extractor.resize_rule(), Backbone()

    def extract(images, strict=False):
        parts, positions, failures = [np.zeros((0, classes), np.float32)], [], []
        for indices, found, failed in iterate_features(network, images, rule, 32, check_threads(None)):
            parts.append(found)
            positions.extend(indices)
            failures.extend(failed)
        return Extraction(np.concatenate(parts), np.array(positions, int), failures)

    extractor.extract = extract
    model.head_.predict_proba = lambda probabilities: probabilities


class Server(object):
    """A server in a process of its own."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, os.path.dirname(
            os.path.abspath(__file__))] + list(arguments), stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().decode().rstrip("/\n").rsplit(":", 1)[1])

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.process.stdout.close()


async def one_client(port, requests, until, times):
    """Send requests over one connection, each after the answer to the last, until it is time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = len(times)
    while time.monotonic() < until:
        start = time.monotonic()
        writer.write(requests[number % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit("the server answered {!r}".format(head))
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(length[0].split(b":")[1]))
        times.append(time.monotonic() - start)
        number += 1
    writer.close()


async def clients(port, requests, count, seconds):
    """Requests a second and the 95th percentile in milliseconds."""
    times, start = [], time.monotonic()
    await asyncio.gather(*[one_client(port, requests[i:] + requests[:i], start + seconds, times)
                           for i in range(count)])
    took = time.monotonic() - start
    return len(times) / took, 1000 * sorted(times)[int(0.95 * (len(times) - 1))]


def request_of(path):
    with open(path, "rb") as stream:
        body = stream.read()
    return ("POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
            "Content-Length: {}\r\n\r\n".format(len(body))).encode() + body


def quantize(source, target):
    """ONNX Runtime's own dynamic quantization of a model."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
    return target


def prepare(folder, given):
    """Servers by name, and requests."""
    images = gt.load_folder(given.images or gt.make_shapes(os.path.join(folder, "shapes"), 30, 256))
    model = gt.TransferClassifier(quality=given.quality, cache=False, verbose=0).fit(images)
    saved, exported = os.path.join(folder, "m.gtm"), os.path.join(folder, "m.onnx")
    model.save(saved)
    gt.export(model, exported)
    names = [("gear_transfer, " + model.extractor_.backbone_.precision, [saved]),
             ("ONNX Runtime, float32", [saved, exported])]
    if given.quantized:
        names.append(("ONNX Runtime, int8", [saved, quantize(exported, os.path.join(folder, "q.onnx"))]))
    order = np.random.RandomState(0).permutation(len(images))[:200]
    return names, [request_of(images.paths[i]) for i in order]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--quantized", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names, requests = prepare(folder, given)
        servers = [(name, Server(*arguments)) for name, arguments in names]
        try:
            print("{:<28} {:>8} {:>14} {:>12}".format("server", "clients", "requests a s", "95 % in ms"))
            for count in given.clients:
                measure(servers, requests, count, given)
        finally:
            for _, server in servers:
                server.end()


def measure(servers, requests, count, given):
    """Print a row for each server at so many clients, and how the first compares with the second."""
    loop, found = asyncio.new_event_loop(), dict((name, []) for name, _ in servers)
    for name, server in servers:  # warm up
        loop.run_until_complete(clients(server.port, requests, count, min(1.0, given.seconds)))
    for _ in range(given.rounds):
        for name, server in servers:
            found[name].append(loop.run_until_complete(
                clients(server.port, requests, count, given.seconds)))
    loop.close()
    rates = []
    for name, _ in servers:
        rate, slow = [statistics.median(values) for values in zip(*found[name])]
        rates.append(rate)
        print("{:<28} {:>8} {:>14.1f} {:>12.1f}".format(name, count, rate, slow), flush=True)
    print("{:<28} {:>8} {:>14}".format("ratio", count, "  ".join(
        "{:.2f}".format(rates[0] / rate) for rate in rates[1:])), flush=True)


if __name__ == "__main__":
    main()
