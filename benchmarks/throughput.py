"""Features of Inception V3 and EfficientNet-Lite a second, ours against ONNX Runtime, OpenVINO and Keras.

    python benchmarks/throughput.py [--rounds 5] [--write]

Same weights, same uint8 photographs, same number of threads on the same processors. For each
batch and number of threads every engine gets a process of its own that stays alive, and they are
asked in turn, round after round. The ONNX model that ONNX Runtime and OpenVINO run is exported
from our own description of the network.
"""
import argparse
import collections
import json
import os
import statistics
import tempfile
import time

import models
import processes
import report

#: Worker script, environment of the peer (None for ours) and mode of each engine.
Engine = collections.namedtuple("Engine", ["label", "script", "peer", "mode"])
ENGINES = collections.OrderedDict([
    ("ours", Engine("ours", "worker_ours", None, None)),
    ("openvino", Engine("OpenVINO latency", "worker_openvino", "openvino", "latency")),
    ("openvino_streams", Engine("OpenVINO streams", "worker_openvino", "openvino", "streams")),
    ("onnxruntime", Engine("ONNX Runtime", "worker_onnxruntime", "onnxruntime", None)),
    ("keras", Engine("Keras", "worker_keras", "keras", None))])

#: A network to measure, our weights for it (None: the file that the others load), where its features
#: are known from (None: from our own), the file that the others load and the photographs with the
#: known features (None: of Inception V3).
Case = collections.namedtuple("Case", ["layer", "size", "backbone", "reference_key", "weights",
                                       "reference"])

#: The networks of shared/weights that are measured whole, by name: the native size.
LITE = {"lite0": 224, "lite2": 260}

#: Largest error of float32 features, relative to the largest feature, of what is the same network.
TOLERANCE = 1e-4

#: Seconds between requests, for threads that wait actively to come to rest.
PAUSE = 0.2

#: Images of one request, at least, so that the clock has something to measure.
IMAGES_A_REQUEST = 16


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    processes.add_options(parser)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES),
                        help="default: all")
    parser.add_argument("--networks", nargs="+", choices=["full", "default"] + sorted(LITE),
                        default=["full", "default"],
                        help="full: mixed10 at 299; default: the default layer and size; lite0, "
                             "lite2: the head of EfficientNet-Lite at its native size")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precision", default="float32",
                        help="of ours, and of OpenVINO where it has it; the others compute in "
                             "float32 (default: %(default)s)")
    report.add_write_option(parser)
    arguments = parser.parse_args()
    if "ours" not in arguments.engines:
        parser.error("argument --engines: ours must be among them, the others are compared with it")
    return arguments


def cases(arguments):
    """The networks asked for, by name."""
    result = []
    for name in arguments.networks:
        if name == "full":
            result.append(Case("mixed10", 299, None, "gap_mixed10", None, None))
        elif name == "default":
            result.append(Case("mixed4", 128, "inception_v3", None, None, None))
        else:
            files = [processes.shared_file(arguments.shared, folder, "efficientnet_{}.{}".format(
                name, ending)) for folder, ending in (("weights", "safetensors"),
                                                      ("reference", "npz"))]
            result.append(Case("head", LITE[name], None, "gap_head", *files))
    return result


def reference_of(arguments, case):
    """The file with the photographs and, where they are known, the features."""
    return case.reference or processes.shared_file(arguments.shared, "reference",
                                                   "inception_v3_features.npz")


def start(arguments, case, batch, threads, temporary):
    """Workers that are ready, by engine; engines that cannot do this are left out."""
    weights = case.weights or processes.official_weights(arguments.shared)
    settings = {"images": reference_of(arguments, case),
                "size": case.size, "layer": case.layer, "batch": batch, "threads": threads,
                "precision": arguments.precision}
    workers = collections.OrderedDict()
    for name in arguments.engines:
        engine = ENGINES[name]
        if engine.mode == "streams" and (batch < 8 or threads < 2):
            continue  # nothing to run side by side
        if engine.peer == "keras" and case.weights is not None:
            continue  # it has no such network
        python = arguments.python
        if engine.peer is not None:
            python = processes.peer_python(arguments.peers, engine.peer)
        if engine.peer is None:
            model = case.backbone or weights
        elif engine.peer == "keras":
            model = weights
        else:
            model = models.export(arguments, engine.peer, weights, case.layer, temporary)
            if engine.peer == "openvino" and arguments.precision == "int8":
                model = models.quantize(arguments, model, reference_of(arguments, case), case.size,
                                        temporary)
        worker = processes.Worker(python, engine.script,
                                  dict(settings, model=model, mode=engine.mode),
                                  is_peer=engine.peer is not None)
        unable = worker.greeting.get("unable")
        if unable is None:
            workers[name] = worker
        else:
            worker.close()
            if name == "ours":
                processes.stop("--precision {}: {}".format(arguments.precision, unable))
            print("{} is left out: {}".format(engine.label, unable))
    return workers


def largest_errors(arguments, case, workers, temporary):
    """How far each engine's features are from the reference, or from ours where there is none:
    largest error and least cosine of an image."""
    request = {"check": reference_of(arguments, case), "key": case.reference_key}
    if case.reference_key is None:
        request["check"] = os.path.join(temporary, "ours.npy")
        workers["ours"].ask(save=request["check"])
    answers = [(name, worker.ask(**request)) for name, worker in workers.items()]
    errors = dict((name, (answer["error"], answer["cosine"])) for name, answer in answers)
    for name, (error, _) in errors.items():
        if arguments.precision == "float32" and not error <= TOLERANCE:
            processes.stop("{} computes other features, the error is {:.1e}".format(
                ENGINES[name].label, error))
    return errors


def measure(arguments, case, batch, threads, temporary):
    """Images a second by round, peak memory and error of each engine."""
    workers = start(arguments, case, batch, threads, temporary)
    errors = largest_errors(arguments, case, workers, temporary)
    calls = max(1, IMAGES_A_REQUEST // batch)
    rates = collections.OrderedDict((name, []) for name in workers)
    for number in range(-1, arguments.rounds):
        for name, worker in workers.items():
            time.sleep(PAUSE)
            seconds = worker.ask(calls=calls)["seconds"]
            if number >= 0:  # the round before the first warms up
                rates[name].append(calls * batch / seconds)
    peaks = dict((name, worker.close()) for name, worker in workers.items())
    print("{} at {}, batch {}, {} threads: {}".format(
        case.layer, case.size, batch, threads, json.dumps(dict(
            (name, round(statistics.median(values), 1)) for name, values in rates.items()))),
        flush=True)
    return rates, peaks, errors


def speed_row(rates, engines):
    """Images a second of each engine, then our ratio to each other one."""
    cells = [report.spread(rates[name], "{:.1f}") if name in rates else "" for name in engines]
    for name in engines:
        if name != "ours":
            cells.append("{:.2f}".format(statistics.median(report.ratios(
                rates["ours"], rates[name]))) if name in rates else "")
    return cells


def memory_row(peaks, engines):
    """Peak memory of each engine, then ours relative to each other one."""
    cells = ["{:.0f}".format(peaks[name]) if name in peaks else "" for name in engines]
    return cells + ["{:.2f}".format(peaks["ours"] / peaks[name]) if name in peaks else ""
                    for name in engines if name != "ours"]


def errors_line(results, engines, reference):
    """The errors of each engine as a sentence."""
    parts = []
    for name in engines:
        errors = [result[2][name] for result in results.values() if name in result[2]]
        if errors:
            parts.append("{} {:.0e} and {:.6f}".format(
                ENGINES[name].label, max(error for error, _ in errors),
                min(cosine for _, cosine in errors)))
    return ("Largest error of the features against {}, relative to the largest feature, and least "
            "cosine of an image: {}.".format(reference, ", ".join(parts)))


def tables(arguments, case, results):
    """Two tables of one network and the errors."""
    engines = arguments.engines
    labels = [ENGINES[name].label for name in engines]
    others = labels[:engines.index("ours")] + labels[engines.index("ours") + 1:]
    header = ["batch, threads"] + labels + ["ours / " + label for label in others]
    keys = ["{}, {}".format(*key) for key in results]
    return [
        "{0} at {1} x {1}, images a second and ours / theirs:".format(case.layer, case.size),
        report.table(header, [[key] + speed_row(rates, engines)
                              for key, (rates, _, _) in zip(keys, results.values())]),
        "Peak memory in MB and ours / theirs:",
        report.table(header, [[key] + memory_row(peaks, engines)
                              for key, (_, peaks, _) in zip(keys, results.values())]),
        errors_line(results, engines, "the reference" if case.reference_key else "ours")]


def scaling_table(results, batches, threads):
    """Our own speed with more threads, relative to one."""
    rows = []
    for batch in batches:
        one = results[batch, 1][0]["ours"]
        rows.append([str(batch)] + ["{:.2f}".format(statistics.median(report.ratios(
            results[batch, count][0]["ours"], one))) for count in threads])
    return report.table(["batch"] + ["{} threads / 1".format(count) for count in threads], rows)


def main():
    arguments = parse()
    parts = ["The same weights, uint8 photographs in, features out, {}; a process for each engine, "
             "batch and number of threads, rounds in turn: {}, medians (smallest–largest). "
             "OpenVINO: one request, or one stream a thread with requests of 4 images.".format(
                 arguments.precision, arguments.rounds)]
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases(arguments):
            results = collections.OrderedDict()
            for threads in arguments.threads:
                for batch in arguments.batches:
                    results[batch, threads] = measure(arguments, case, batch, threads, temporary)
            parts += tables(arguments, case, results)
            more = [count for count in arguments.threads if count > 1]
            if more and 1 in arguments.threads:
                parts += ["Ours with more threads:",
                          scaling_table(results, arguments.batches, more)]
    peers = sorted(set(ENGINES[name].peer for name in arguments.engines) - {None})
    description = report.machine(arguments.python, [
        (name, processes.peer_python(arguments.peers, name)) for name in peers])
    name = "throughput" if arguments.precision == "float32" else "throughput_" + arguments.precision
    report.publish(name, "Features a second, {} (throughput.py)".format(arguments.precision), parts,
                   description, arguments.write)


if __name__ == "__main__":
    main()
