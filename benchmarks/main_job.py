"""The whole job in one process, ours against Keras and OpenVINO: wall time, peak memory, accuracy.

    python benchmarks/main_job.py [--rounds 5] [--write]

A folder of 1,694 photographs becomes a trained classifier, which predicts five new photographs
and is saved. Each program runs in a fresh process, one after the other, round after round. What
they do is in jobs/. All start from the same weights.
"""
import argparse
import collections
import os
import shutil
import statistics
import tempfile

import models
import processes
import report

#: Environment of the peer, None for ours; the network as it wants it, None for our own default, or
#: "default" for our default's network as ONNX.
Job = collections.namedtuple("Job", ["label", "peer", "network"])
JOBS = collections.OrderedDict([
    ("ours", Job("gear_transfer, defaults", None, None)),
    ("ours_again", Job("the same again, other settings of the head, features in the cache", None,
                       None)),
    ("ours_fast", Job('gear_transfer, quality="fast"', None, None)),
    ("keras_load", Job("Keras, only import, build InceptionV3, load weights", "keras", "weights")),
    ("openvino_expert", Job("OpenVINO and scikit-learn by an expert, our network and size",
                            "openvino", "default")),
    ("openvino_byhand", Job("OpenVINO and scikit-learn by hand", "openvino", "onnx")),
    ("keras_features", Job("Keras, features computed once", "keras", "weights")),
    ("keras_sample", Job("Keras, the sample's way, 2 epochs", "keras", "weights"))])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_options(parser)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS),
                        help="default: all")
    parser.add_argument("--photographs", type=int, metavar="N",
                        help="only about N photographs, to try the script (default: all)")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    if arguments.jobs[0] != "ours":
        parser.error("argument --jobs: ours must be the first, the others are compared with it")
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


def default_setting(python):
    """Backbone, last tapped layer and side of the images of our defaults."""
    code = ("import json; from gear_transfer.features import settings; "
            "print(json.dumps(settings.QUALITIES[settings.DEFAULT_QUALITY]))")
    backbone, layer, size = processes.run([python, "-c", code]).result
    return backbone, layer if isinstance(layer, str) else layer[-1], size[0]


def command(arguments, name, folder, temporary):
    """The command line of a job."""
    job = JOBS[name]
    python = arguments.python
    if job.peer is not None:
        python = processes.peer_python(arguments.peers, job.peer)
    script = {"ours_fast": "ours", "openvino_expert": "openvino_byhand"}.get(name, name)
    line = [python, processes.job(script), folder,
            processes.shared_file(arguments.shared, "gear", "new_images"),
            os.path.join(temporary, name)]
    if name == "ours_fast":
        line.append("fast")
    elif job.network == "weights":
        line.append(processes.official_weights(arguments.shared))
    elif job.network == "onnx":
        line.append(models.export(arguments, job.peer,
                                  processes.official_weights(arguments.shared), "mixed10",
                                  temporary))
    elif job.network == "default":
        backbone, layer, size = default_setting(arguments.python)
        weights = processes.shared_file(arguments.shared, "weights", backbone + ".safetensors")
        line += [models.export(arguments, job.peer, weights, layer, temporary), str(size)]
    return line


def measure(arguments, folder, temporary):
    """The runs of each job, in rounds: OrderedDict of job to list of Run."""
    commands = dict((name, command(arguments, name, folder, temporary))
                    for name in arguments.jobs)
    runs = collections.OrderedDict((name, []) for name in arguments.jobs)
    for number in range(arguments.rounds):
        # Empty for the first job of a round, ours; only ours_again finds something in it.
        cache = os.path.join(temporary, "cache_{}".format(number))
        for name in arguments.jobs:
            run = processes.run(commands[name], JOBS[name].peer is not None, cache)
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
        accuracies = [run.result["validation_accuracy"] for run in own]
        right = [sum(p == t for p, t in zip(run.result["predicted"], truth)) for run in own]
        is_whole = accuracies[0] is not None
        times = report.ratios([run.seconds for run in own], [run.seconds for run in ours])
        memory = report.ratios([run.peak_mb for run in ours], [run.peak_mb for run in own])
        rows.append([
            JOBS[name].label, report.spread([run.seconds for run in own]),
            "{:.0f}".format(statistics.median(run.peak_mb for run in own)),
            report.spread(times, "{:.1f}"), "{:.2f}".format(statistics.median(memory)),
            "{:.3f}".format(statistics.median(accuracies)) if is_whole else "",
            "{} of {}".format(min(right), len(truth)) if is_whole else ""])
    return report.table(["program", "seconds", "peak MB", "time / ours", "our memory / its",
                         "validation accuracy", "new photographs right"], rows)


def stages(runs):
    """Where the time goes, medians."""
    rows = []
    for name, own in runs.items():
        for index, (stage, _) in enumerate(own[0].result["stages"]):
            seconds = statistics.median(run.result["stages"][index][1] for run in own)
            rows.append([JOBS[name].label, stage, "{:.2f}".format(seconds)])
        rest = statistics.median(run.seconds - sum(stage[1] for stage in run.result["stages"])
                                 for run in own)
        rows.append([JOBS[name].label, "start and end of the process", "{:.2f}".format(rest)])
    return report.table(["program", "stage", "seconds"], rows)


def main():
    arguments = parse()
    folder = processes.shared_file(arguments.shared, "gear", "images")
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.photographs is not None:
            folder = copy_some(folder, os.path.join(temporary, "images"), arguments.photographs)
        count = sum(len(files) for _, _, files in os.walk(folder))
        runs = measure(arguments, folder, temporary)
    peers = [(name, processes.peer_python(arguments.peers, name))
             for name in sorted(set(JOBS[name].peer for name in runs) - {None})]
    explanation = (
        "{:,} photographs to a trained and saved classifier and five predictions; a fresh process "
        "each, rounds in turn: {}; medians (smallest–largest); ratios are of the same round. Each "
        "program holds back validation photographs its own way, near-duplicates not kept together, "
        "so its accuracy is what it reports to its user, not a comparison.".format(
            count, arguments.rounds))
    report.publish("main_job", "The whole job (main_job.py)",
                   [explanation, overview(runs, true_classes(arguments.shared)),
                    "Where the time goes:", stages(runs)],
                   report.machine(arguments.python, peers), arguments.write)


if __name__ == "__main__":
    main()
