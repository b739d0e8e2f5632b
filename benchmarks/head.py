"""Training and applying a head at scale, beside what the machine could do and other programs.

    python benchmarks/head.py [--rounds 3] [--write]

An epoch has two limits: reading the features once, at the speed at which they are read in the same
process, and two matrix products, at the speed of a large one. The larger time of the two is its
bound. Each program runs in a fresh process, in turn.
"""
import argparse
import collections
import os
import statistics

import processes
import report

LABELS = collections.OrderedDict([("ours", "ours"), ("numpy", "NumPy"), ("torch", "PyTorch")])

#: A head to train, and whether by the other programs too, which take minutes for the largest.
Case = collections.namedtuple("Case", ["samples", "classes", "batch", "epochs", "by_all"])
WIDTH = 768
CASES = [Case(1694, 12, 32, 100, True), Case(10 ** 6, 12, 32, 1, False),
         Case(10 ** 6, 12, 1024, 1, True), Case(10 ** 5, 1000, 1024, 1, True),
         Case(10 ** 6, 1000, 8192, 1, False)]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_options(parser, rounds=3)
    parser.add_argument("--programs", nargs="+", choices=list(LABELS), default=list(LABELS),
                        help="default: all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="default: %(default)s")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    if arguments.programs[0] != "ours":
        parser.error("argument --programs: ours must be the first")
    return arguments


def measure(arguments, case):
    """Results of each program, in rounds: OrderedDict of program to list of Run."""
    names = arguments.programs if case.by_all else ["ours"]
    runs = collections.OrderedDict((each, []) for each in names)
    for _ in range(arguments.rounds):
        for each in names:
            python = arguments.python
            if each == "torch":
                python = processes.peer_python(arguments.peers, "torch")
            numbers = [case.samples, WIDTH, case.classes, case.batch, case.epochs,
                       arguments.threads]
            runs[each].append(processes.run(
                [python, processes.job("head_" + each)] + [str(number) for number in numbers],
                is_peer=each == "torch"))
    return runs


def median(runs, key):
    return statistics.median(run.result[key] for run in runs)


def name(case):
    return "{:,}, {:,}, {:,}, {}".format(*case[:4])


def row(case, runs, key, names):
    """Seconds of each program, and of each other program those of ours."""
    ours = [run.result[key] for run in runs["ours"]]
    cells = [report.spread([run.result[key] for run in runs[each]], "{:.3g}") if each in runs
             else "" for each in names]
    return [name(case)] + cells + ["{:.1f}".format(statistics.median(report.ratios(
        [run.result[key] for run in runs[each]], ours))) if each in runs else ""
                                   for each in names[1:]]


def epoch_row(case, ours):
    """An epoch against its two limits."""
    seconds = median(ours, "epoch")
    gigabytes = 4e-9 * case.samples * WIDTH
    operations = 4e-9 * case.samples * WIDTH * case.classes
    reading, product = median(ours, "reading"), median(ours, "product")
    times = {"memory": gigabytes / reading, "arithmetic": operations / product}
    limit = max(times, key=times.get)
    return [name(case), "{:.3g}".format(seconds), "{:.3g}".format(gigabytes),
            "{:.1f} of {:.0f}".format(gigabytes / seconds, reading), "{:,.4g}".format(operations),
            "{:.0f} of {:.0f}".format(operations / seconds, product),
            limit, "{:.0%}".format(times[limit] / seconds)]


def main():
    arguments = parse()
    names = arguments.programs
    results = []
    for case in CASES:
        results.append((case, measure(arguments, case)))
        print(name(case), dict((each, median(own, "fit")) for each, own in results[-1][1].items()),
              flush=True)
    size = "samples, classes, batch, epochs"
    header = [size] + [LABELS[each] + ", s" for each in names]
    header += [LABELS[each] + " / ours" for each in names[1:]]
    ours = results[-1][1]["ours"]
    features_mb = 4e-6 * CASES[-1].samples * WIDTH
    peak_mb = median(ours, "peak_mb")
    parts = [
        "{} features, float32, {} threads; standardising, training with Adam and an L2 penalty; "
        "rounds in turn: {}, medians (smallest–largest). With AVX-512 BF16 or AMX ours multiplies "
        "large minibatches in bfloat16, which the limit by arithmetic, a product in float32, does "
        "not allow for.".format(
            WIDTH, arguments.threads, arguments.rounds),
        "Training, all of fit():",
        report.table(header, [row(case, runs, "fit", names) for case, runs in results]),
        "Probabilities of all samples:",
        report.table(header, [row(case, runs, "predict", names) for case, runs in results]),
        "One epoch of ours. The features are read once, each minibatch in an order drawn anew; the "
        "limits are reading them from end to end, and a large matrix product, both measured in the "
        "same process. The bound is the larger of the two times.",
        report.table([size, "s an epoch", "GB read", "GB/s", "GFLOP", "GFLOP/s", "limit",
                      "bound / ours"], [epoch_row(case, runs["ours"]) for case, runs in results]),
        "Largest memory of our process up to the end of fit() with {}: {:,.0f} MB, of which the "
        "features are {:,.0f} ({:.2f} times the features).".format(
            name(CASES[-1]), peak_mb, features_mb, peak_mb / features_mb)]
    peers = [(each, processes.peer_python(arguments.peers, each)) for each in names
             if each == "torch"]
    report.publish("head", "The head at scale (head.py)", parts,
                   report.machine(arguments.python, peers), arguments.write)


if __name__ == "__main__":
    main()
