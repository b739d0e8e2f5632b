"""The whole job in one cold process, ours against Keras: wall time, peak memory, accuracy.

    python benchmarks/main_job.py [--rounds 5] [--write]

A folder of 1,694 photographs becomes a trained classifier, which predicts five new photographs
and is saved. Each program runs in a fresh process, one after the other, round after round. What
they do is in jobs/: `ours` with its defaults, `keras_sample` as the sample notebook does it with
Inception V3 as base and two epochs, `keras_features` with the features computed once. All start
from the same weights.
"""
import argparse
import collections
import os
import shutil
import statistics
import tempfile

import processes
import report

LABELS = collections.OrderedDict([
    ("ours", "gear_transfer, defaults"),
    ("keras_sample", "Keras, the sample's way, 2 epochs"),
    ("keras_features", "Keras, features computed once")])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_options(parser)
    parser.add_argument("--jobs", nargs="+", choices=list(LABELS), default=list(LABELS),
                        help="default: all")
    parser.add_argument("--photographs", type=int, metavar="N",
                        help="only about N photographs, to try the script (default: all)")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    if "ours" not in arguments.jobs:
        parser.error("argument --jobs: ours must be among them, the others are compared with it")
    return arguments


def copy_some(folder, destination, count):
    """A folder with about `count` of the photographs, as many of each class."""
    classes = sorted(os.listdir(folder))
    for name in classes:
        os.makedirs(os.path.join(destination, name))
        # Four at least, so that every class has one on either side of a split.
        for file in sorted(os.listdir(os.path.join(folder, name)))[:max(4, count // len(classes))]:
            shutil.copy(os.path.join(folder, name, file), os.path.join(destination, name, file))
    return destination


def measure(arguments, folder, temporary):
    """The runs of each job, in rounds: OrderedDict of job to list of Run."""
    new_images = processes.shared_file(arguments.shared, "gear", "new_images")
    weights = processes.official_weights(arguments.shared)
    pythons = dict((name, arguments.python if name == "ours" else
                    processes.peer_python(arguments.peers, "keras")) for name in arguments.jobs)
    runs = collections.OrderedDict((name, []) for name in arguments.jobs)
    for number in range(arguments.rounds):
        for name in arguments.jobs:
            command = [pythons[name], processes.job(name), folder, new_images,
                       os.path.join(temporary, name)]
            if name != "ours":
                command.append(weights)
            run = processes.run(command, is_peer=name != "ours")
            runs[name].append(run)
            print("round {}: {:<16} {:7.2f} s {:7.0f} MB".format(
                number + 1, name, run.seconds, run.peak_mb), flush=True)
    return runs


def true_classes(shared):
    """Classes of the five new photographs, which their names tell: NN_class.jpeg."""
    names = sorted(os.listdir(processes.shared_file(shared, "gear", "new_images")))
    return [os.path.splitext(name)[0].split("_", 1)[1] for name in names]


def overview(runs, truth):
    """Time, memory, accuracy and ratios of each job."""
    ours = runs["ours"]
    rows = []
    for name, own in runs.items():
        right = [sum(p == t for p, t in zip(run.result["predicted"], truth)) for run in own]
        times = report.ratios([run.seconds for run in own], [run.seconds for run in ours])
        memory = report.ratios([run.peak_mb for run in ours], [run.peak_mb for run in own])
        rows.append([
            LABELS[name], report.spread([run.seconds for run in own]),
            "{:.0f}".format(statistics.median(run.peak_mb for run in own)),
            report.spread(times, "{:.1f}"), "{:.2f}".format(statistics.median(memory)),
            "{:.3f}".format(statistics.median(run.result["validation_accuracy"] for run in own)),
            "{} of {}".format(min(right), len(truth))])
    return report.table(["program", "seconds", "peak MB", "time / ours", "our memory / its",
                         "validation accuracy", "new photographs right"], rows)


def stages(runs):
    """Where the time goes, medians."""
    rows = []
    for name, own in runs.items():
        for index, (stage, _) in enumerate(own[0].result["stages"]):
            seconds = statistics.median(run.result["stages"][index][1] for run in own)
            rows.append([LABELS[name], stage, "{:.2f}".format(seconds)])
        rest = statistics.median(run.seconds - sum(stage[1] for stage in run.result["stages"])
                                 for run in own)
        rows.append([LABELS[name], "start and end of the process", "{:.2f}".format(rest)])
    return report.table(["program", "stage", "seconds"], rows)


def main():
    arguments = parse()
    folder = processes.shared_file(arguments.shared, "gear", "images")
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.photographs is not None:
            folder = copy_some(folder, os.path.join(temporary, "images"), arguments.photographs)
        count = sum(len(files) for _, _, files in os.walk(folder))
        runs = measure(arguments, folder, temporary)
    peers = [("Keras", processes.peer_python(arguments.peers, "keras"))] if len(runs) > 1 else []
    explanation = (
        "{:,} photographs to a trained and saved classifier and five predictions; a fresh process "
        "each, rounds in turn: {}; medians (smallest–largest); ratios are of the same round. Each "
        "program holds back validation photographs its own way, near-duplicates not kept together, "
        "so its accuracy is what it reports to its user, not a comparison.".format(
            count, arguments.rounds))
    report.publish("main_job", "The whole job, cold (main_job.py)",
                   [explanation, overview(runs, true_classes(arguments.shared)),
                    "Where the time goes:", stages(runs)],
                   report.machine(arguments.python, peers), arguments.write)


if __name__ == "__main__":
    main()
