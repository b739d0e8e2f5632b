"""The core against a plain twin on random networks, in every precision and instruction set.

    python tests/oracle/run.py [--count 10000] [--first 0] [--isa DEFAULT AVX2 AVX512_CORE ...]

Each network runs at a random batch (1 to 9) on random threads (1 to 4) in float32, bf16 and int8,
once for each instruction set in a process of its own (ONEDNN_MAX_CPU_ISA).  Prints each output that
is wrong and each network that is refused, then a line of counts; fails if there are any.
"""
import argparse
import collections
import os
import subprocess
import sys

import numpy as np

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]

import networks  # noqa: E402
import twin  # noqa: E402

#: Greatest root mean square of the errors, as a share of that of the values' spread.
#: Random networks of few channels amplify rounding far more than trained ones; what is wrong is off by 1.
BOUNDS = {"float32": 1e-4, "bf16": 0.1, "int8": 0.5}
PRECISIONS = ("float32", "bf16", "int8")
ISAS = ("DEFAULT", "AVX512_CORE_VNNI", "AVX512_CORE", "AVX2", "SSE41")

Finding = collections.namedtuple("Finding", "seed precision batch threads what")


def spread(values):
    """Root mean square of values around their mean, or their mean if they hardly differ."""
    return max(float(values.std()), 0.1 * float(np.abs(values).mean()), 1e-6)


def parts(network, name):
    """Slices of a result's channels that must each be right: those of a concatenation's inputs."""
    shapes = {}
    for node in network.nodes:
        shapes[node.name] = node
    node = shapes[name]
    while node.op in ("relu", "batch_norm", "bias") and len(node.inputs) == 1:
        node = shapes[node.inputs[0]]
    joins = node.op == "concat" and node.attributes.get("axis", "channels") == "channels"
    return list(node.inputs) if joins else None


def least_spread(network, name, results):
    """A share of the root mean square of what a layer reads: a few results may cancel out by chance."""
    node = [node for node in network.nodes if node.name == name][0]
    return 0.2 * max([float(np.sqrt((results[each] ** 2).mean())) for each in node.inputs] or [0.0])


def worst_error(network, name, found, results):
    """Greatest relative error over a result, or over the parts of a concatenation."""
    expected = results[name]
    if network.nodes[-1].name == name and network.nodes[-1].op == "softmax":
        return float(np.abs(found - expected).max()) / 4.0  # of one scale; logits are far apart
    start, worst = 0, 0.0
    for each in parts(network, name) or [name]:
        width = results[each].shape[-1]
        floor = least_spread(network, each, results)
        one, other = (values[..., start:start + width] for values in (found, expected))
        worst = max(worst, float(np.sqrt(((one - other) ** 2).mean())) / max(spread(other), floor))
        start += width
    return worst


def bound_of(network, name, precision, results, rounded):
    """The bound of a precision; a norm of few numbers that nearly cancel amplifies rounding beyond it."""
    if precision != "bf16":
        return BOUNDS[precision]
    return max(BOUNDS[precision], 2.0 * worst_error(network, name, rounded[name], results))


def check(seed):
    """Findings of one random network in every precision."""
    from gear_transfer import Backbone, _core
    network, size, taps = networks.make(seed)
    rng = np.random.RandomState(seed)
    batch, threads = int(rng.randint(1, 10)), int(rng.randint(1, 5))
    channels = network.nodes[0].attributes["channels"]
    images = rng.randint(0, 256, (batch,) + size + (channels,)).astype(np.uint8)
    results, rounded = twin.run(network, images), twin.run(network, images, rounded=True)
    findings = []
    for precision in PRECISIONS:
        if not _core.has_fast(precision):
            continue  # refused with a sentence that says what to do
        try:
            backbone = Backbone.from_network(network, "random", taps, size, None, threads, precision)
            features = backbone.features(images)
        except Exception as error:
            findings.append(Finding(seed, precision, batch, threads, "refused: {}: {}".format(
                type(error).__name__, error)))
            continue
        for name, found in zip(taps, features):
            error = worst_error(network, name, found.reshape(results[name].shape), results)
            if not error <= bound_of(network, name, precision, results, rounded):
                findings.append(Finding(seed, precision, batch, threads,
                                        "wrong: {} is off by {:.3g}".format(name, error)))
    return findings


def run_here(first, count):
    """Check the networks of so many seeds; the number of findings."""
    total = 0
    for seed in range(first, first + count):
        for finding in check(seed):
            total += 1
            print("  seed {} {} batch {} threads {}: {}".format(*finding))
    print("{} networks, {} findings".format(count, total))
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--isa", nargs="+", default=ISAS)
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    if given.here:
        return 1 if run_here(given.first, given.count) else 0
    failed = 0
    for isa in given.isa:
        print("{}:".format(isa), flush=True)
        environment = dict(os.environ, OMP_WAIT_POLICY="passive")
        if isa != "DEFAULT":
            environment["ONEDNN_MAX_CPU_ISA"] = isa
        failed += subprocess.call([sys.executable, os.path.abspath(__file__), "--here", "--first",
                                   str(given.first), "--count", str(given.count)], env=environment)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
