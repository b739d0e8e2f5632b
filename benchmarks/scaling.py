"""Time against images, classes, batch size and threads: linear where it should be.

    python benchmarks/scaling.py [--rounds 5] [--write]

Ours alone, in one process, with the defaults; medians of rounds in which all points of a table take
their turn. The slope is that of log time over log size, by least squares: 1 is linear, 0 is constant.
--write also draws docs/scaling.png, or with RESULTS-NAME.md docs/scaling-name.png.
"""
import argparse
import collections
import os
import time

import numpy as np

import processes
import report

DOCS = os.path.join(processes.ROOT, "docs")

#: One table and one panel: `axis` is what varies, each curve has its sizes, how many images or
#: samples are worked on at each size, and seconds; `limit` says what keeps threads from helping.
Series = collections.namedtuple("Series", ["title", "axis", "curves", "limit"])
Curve = collections.namedtuple("Curve", ["label", "sizes", "work", "seconds"])

IMAGES = (16, 32, 64, 128, 256)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SAMPLES = (1000, 3000, 10000, 30000, 100000)
CLASSES = (2, 10, 30, 100, 300, 1000)
FEATURES = 768

#: So many times one thread's speed are wanted of each thread: 1.8 of two.
WANTED = 0.9
BACKBONE_LIMIT = ("Several images are shared out whole, but fewer than four to a thread do not make "
                  "the batch that is fastest; a single one has every layer split between the "
                  "threads, which wait for each other after each.")
HEAD_LIMIT = ("Threads wait for each other twice in a minibatch that they work on at once. So each "
              "has at least 750,000 multiplications (samples times weights, as if there were 16 "
              "classes or more) of it, and an epoch of less than 20 million is trained on one thread. "
              "With few classes they share the memory that samples come from, and what comes before "
              "the first epoch.")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2],
                        help="default: %(default)s")
    report.add_write_option(parser)
    return parser.parse_args()


def timed(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(rounds, calls):
    """Median seconds of each call, by its key; a round before the first warms up."""
    seconds = dict((key, []) for key in calls)
    for number in range(-1, rounds):
        for key, call in calls.items():
            passed = timed(call)
            if number >= 0:
                seconds[key].append(passed)
    return dict((key, float(np.median(values))) for key, values in seconds.items())


def series(rounds, title, axis, labels, sizes, make, limit, work=None):
    """A Series of what `make(label, size)` returns, a function to call, for each label and size."""
    calls = collections.OrderedDict(((label, size), make(label, size))
                                    for label in labels for size in sizes)
    seconds = measure(rounds, calls)
    return Series(title, axis, [
        Curve(label, sizes, [size if work is None else work for size in sizes],
              [seconds[label, size] for size in sizes]) for label in labels], limit)


def backbone_series(arguments):
    """Images, and images in one call, with each number of threads."""
    from gear_transfer import Backbone
    backbones = dict((threads, Backbone.load("inception_v3", threads=threads, precision="auto"))
                     for threads in arguments.threads)
    size = next(iter(backbones.values())).input_size[0]
    images = np.random.RandomState(0).randint(0, 256, (max(IMAGES), size, size, 3)).astype(np.uint8)
    labels = collections.OrderedDict(
        ("{} thread{}".format(count, "s" if count > 1 else ""), backbones[count])
        for count in arguments.threads)

    def in_batches(label, batch):
        def call():
            for start in range(0, max(BATCHES), batch):
                labels[label].features(images[start:start + batch])
        return call

    return [
        series(arguments.rounds, "Features of images", "images", labels, IMAGES,
               lambda label, n: lambda: labels[label].features(images[:n]), BACKBONE_LIMIT),
        series(arguments.rounds, "Features of {} images".format(max(BATCHES)), "images in a call",
               labels, BATCHES, in_batches, BACKBONE_LIMIT, work=max(BATCHES))]


def head_series(arguments):
    """Samples and classes, with each number of threads."""
    from gear_transfer import HeadClassifier
    random = np.random.RandomState(0)
    features = random.standard_normal((max(SAMPLES), FEATURES)).astype(np.float32)
    most = 20000
    labels = collections.OrderedDict(
        ("{} thread{}".format(count, "s" if count > 1 else ""), count)
        for count in arguments.threads)

    def fit(threads, n, classes):
        targets = np.arange(n) % classes
        head = HeadClassifier(epochs=3, batch_size=256, validation_fraction=0, threads=threads)
        return lambda: head.fit(features[:n], targets)

    return [
        series(arguments.rounds, "Training a head, 12 classes, 3 epochs", "samples", labels, SAMPLES,
               lambda label, n: fit(labels[label], n, 12), HEAD_LIMIT),
        series(arguments.rounds, "Training a head, {:,} samples, 3 epochs".format(most), "classes",
               labels, CLASSES, lambda label, c: fit(labels[label], most, c), HEAD_LIMIT,
               work=most)]


def slope(curve):
    """Of log time over log size."""
    return float(np.polyfit(np.log(curve.sizes), np.log(curve.seconds), 1)[0])


def linear_fit(curve):
    """Seconds that are there at once and seconds for each one more, with errors relative to time."""
    sizes, seconds = np.array(curve.sizes, float), np.array(curve.seconds)
    each, once = np.polyfit(sizes, seconds, 1, w=1 / seconds)
    off = float(np.abs(once + each * sizes - seconds).max() / seconds.max())
    return once, each, off


def table(one):
    """Seconds of each size, then the slope and the fitted line of each curve."""
    first = one.curves[0]
    header = [one.axis] + ["{}, ms".format(curve.label) for curve in one.curves]
    header += ["{} / {}".format(first.label, curve.label) for curve in one.curves[1:]]
    rows = []
    for i, size in enumerate(first.sizes):
        row = ["{:,}".format(size)] + ["{:.1f}".format(1e3 * curve.seconds[i])
                                       for curve in one.curves]
        rows.append(row + ["{:.2f}".format(first.seconds[i] / curve.seconds[i])
                           for curve in one.curves[1:]])
    rows.append(["slope"] + ["{:.2f}".format(slope(curve)) for curve in one.curves]
                + [""] * len(one.curves[1:]))
    return report.table(header, rows)


def sentence(one):
    """The fitted lines, where what varies is what is done."""
    parts = []
    for curve in one.curves:
        once, each, off = linear_fit(curve)
        parts.append("{}: {:.1f} ms + {:.4f} ms each, at most {:.0%} of the longest time off".format(
            curve.label, 1e3 * once, 1e3 * each, off))
    return "Fitted lines, {}; {}.".format(one.axis, "; ".join(parts))


def shortfall(one, threads):
    """Where further threads bring less than is wanted, and why; None where they do not."""
    parts = []
    for curve, count in list(zip(one.curves, threads))[1:]:
        gains = np.array(one.curves[0].seconds) / curve.seconds * threads[0] / count
        short = ["{:,}".format(size) for size, gain in zip(curve.sizes, gains) if gain < WANTED]
        if short:
            parts.append("{} are less than {:.1f} times {} at {} {}".format(
                curve.label, WANTED * count / threads[0], one.curves[0].label, ", ".join(short),
                one.axis))
    return "{}. {}".format("; ".join(parts), one.limit) if parts else None


def picture_name(results):
    """The picture that goes with a file of results."""
    stem = os.path.splitext(os.path.basename(results))[0].lower()
    return "scaling{}.png".format(stem[len("results"):] if stem.startswith("results") else "")


def draw(all_series, path):
    """A panel for each series, on logarithmic axes except for times that hardly change."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7.5))
    for axis, one in zip(axes.flat, all_series):
        for curve, marker in zip(one.curves, "os^D"):
            axis.plot(curve.sizes, 1e3 * np.array(curve.seconds), marker=marker, label="{} "
                      "(slope {:.2f})".format(curve.label, slope(curve)))
        curve = one.curves[-1]
        if curve.work == list(curve.sizes):
            guide = np.array(curve.sizes) * curve.seconds[-1] / curve.sizes[-1]
            axis.plot(curve.sizes, 1e3 * guide, color="0.6", linestyle="--", zorder=0,
                      label="proportional")
        axis.set_xscale("log")
        if max(abs(slope(each)) for each in one.curves) < 0.2:
            axis.set_ylim(0, 1.35e3 * max(max(each.seconds) for each in one.curves))
        else:
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_xticks(curve.sizes)
        axis.set_xticklabels(["{:,}".format(size) for size in curve.sizes])
        axis.minorticks_off()
        axis.set_title(one.title, fontsize=11)
        axis.set_xlabel(one.axis)
        axis.set_ylabel("milliseconds")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main():
    arguments = parse()
    all_series = backbone_series(arguments) + head_series(arguments)
    parts = ["Ours alone, the default network and the head on {} features; medians of {} rounds in "
             "turn. The slope is that of log time over log size: 1 is linear.".format(
                 FEATURES, arguments.rounds)]
    for one in all_series:
        parts += [one.title + ":", table(one)]
        if one.curves[0].work == list(one.curves[0].sizes):
            parts.append(sentence(one))
        short = shortfall(one, arguments.threads)
        if short is not None:
            parts.append(short)
    if arguments.write:
        name = picture_name(arguments.write)
        draw(all_series, os.path.join(DOCS, name))
        parts.append("![Time against size, four panels](../docs/{})".format(name))
    report.publish("scaling", "Scaling (scaling.py)", parts, report.machine(), arguments.write)


if __name__ == "__main__":
    main()
