"""Training and applying a head at scale, beside what the machine could do and other programs.

    python benchmarks/head.py [--rounds 3] [--write]

The bound of an epoch is the larger of two times: reading the features once, at the speed at which
they are read in the same process, and the two matrix products at the speed of a large one. That of a
prediction has one product. Each program runs in a fresh process, in turn.
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
         Case(10 ** 6, 1000, 1024, 1, False), Case(10 ** 6, 1000, 8192, 1, False)]


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
    runs = collections.OrderedDict((name, []) for name in names)
    for _ in range(arguments.rounds):
        for name in names:
            python = arguments.python
            if name == "torch":
                python = processes.peer_python(arguments.peers, "torch")
            numbers = [case.samples, WIDTH, case.classes, case.batch, case.epochs,
                       arguments.threads]
            runs[name].append(processes.run(
                [python, processes.job("head_" + name)] + [str(number) for number in numbers],
                is_peer=name == "torch"))
    return runs


def median(runs, key):
    return statistics.median(run.result[key] for run in runs)


def bounds(case, ours):
    """Seconds that training and predicting cannot do without."""
    reading = 4 * case.samples * WIDTH / median(ours, "reading") / 1e9
    product = 2 * case.samples * WIDTH * case.classes / median(ours, "product") / 1e9
    return case.epochs * max(reading, 2 * product), max(reading, product)


def row(case, runs, key, bound, names):
    cells = ["{:,}, {:,}, {:,}, {}".format(*case[:4])]
    cells += [report.spread([run.result[key] for run in runs[name]], "{:.3g}")
              if name in runs else "" for name in names]
    ours = [run.result[key] for run in runs["ours"]]
    cells += ["{:.3g}".format(bound), "{:.0%}".format(bound / statistics.median(ours))]
    return cells + ["{:.1f}".format(statistics.median(report.ratios(
        [run.result[key] for run in runs[name]], ours))) if name in runs else ""
                    for name in names[1:]]


def main():
    arguments = parse()
    names = arguments.programs
    results = []
    for case in CASES:
        results.append((case, measure(arguments, case)))
        print(*case[:4], dict((name, median(own, "fit")) for name, own in results[-1][1].items()),
              flush=True)
    header = ["samples, classes, batch, epochs"] + [LABELS[name] + ", s" for name in names]
    header += ["bound, s", "bound / ours"] + [LABELS[name] + " / ours" for name in names[1:]]
    ours = results[-1][1]["ours"]
    parts = [
        "{} features, float32, {} threads; standardising, training with Adam and an L2 penalty; "
        "rounds in turn: {}, medians (smallest–largest). Reading the features: {:.0f} GB/s; a large "
        "matrix product: {:.0f} GFLOP/s, both in the same process. The bound is the larger of "
        "reading the features once an epoch and the matrix products.".format(
            WIDTH, arguments.threads, arguments.rounds, median(ours, "reading"),
            median(ours, "product")),
        "Training, all of fit():",
        report.table(header, [row(case, runs, "fit", bounds(case, runs["ours"])[0], names)
                              for case, runs in results]),
        "Probabilities of all samples:",
        report.table(header, [row(case, runs, "predict", bounds(case, runs["ours"])[1], names)
                              for case, runs in results]),
        "Largest memory of a process, MB, of which the features are {:,.0f}: {}.".format(
            4e-6 * CASES[-1].samples * WIDTH, ", ".join("{} {:,.0f}".format(
                LABELS[name], statistics.median(run.peak_mb for run in own))
                for name, own in results[-1][1].items()))]
    peers = [(name, processes.peer_python(arguments.peers, name)) for name in names
             if name == "torch"]
    report.publish("head", "The head at scale (head.py)", parts,
                   report.machine(arguments.python, peers), arguments.write)


if __name__ == "__main__":
    main()
