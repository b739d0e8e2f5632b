"""Which networks are reached: architectures of Keras, torchvision and timm, by every kind of file.

    python benchmarks/reach.py [--only TEXT ...] [--kinds h5 ...] [--sizes native] [--rows FILE] [--write]

Each architecture is built by its own library with random weights and statistics that are not
trivial, saved as its users save it, and run here on the same pixels, at its own size and at an odd
one where the library builds that. Errors are those of float32 against the library (PyTorch in
float64), over the greatest number of the layer, the worst over some layers; of ONNX files over the
last one. The cosine in bf16 and that of `precision="auto"` are of the last layer, to our float32.
--twin computes in plain NumPy (tests/oracle) what the core computes else, which tells an importer's
fault from the core's.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import architectures
import processes
import report

_HEADER = ("architecture", "file", "pixels", "size", "layers", "error, float32", "cosine, bf16",
           "precision=\"auto\"", "wrong")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", default=[""],
                        help="architectures whose name, such as timm:resnet50, has such a text")
    parser.add_argument("--kinds", nargs="+", choices=architectures.KINDS,
                        default=architectures.KINDS)
    parser.add_argument("--sizes", nargs="+", choices=("native", "odd"), default=("native", "odd"))
    parser.add_argument("--twin", action="store_true", help="plain NumPy in place of the core")
    parser.add_argument("--rows", metavar="FILE",
                        help="keep what was measured here, and do not measure it again")
    processes.add_peers_option(parser)
    report.add_write_option(parser)
    return parser.parse_args()


def measured(path):
    """The rows of a file, by architecture, kind and size."""
    rows = {}
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                keep(rows, json.loads(line))
    return rows


def keep(rows, row):
    """Put a row in its place; what was not built gives way to what was measured."""
    if row["size"]:
        rows.pop((row["architecture"], row["kind"], ""), None)
    rows[row["architecture"], row["kind"], row["size"]] = row


def peer_of(name):
    """The environment whose library builds an architecture."""
    return "keras" if name.startswith(("keras:", "own:")) else "torch"


def measure(wanted, peer, arguments):
    """The rows of architectures, each as it comes; [name, kinds] of those that are left go on in
    another process where one breaks it."""
    environment = processes.environment(True)
    environment["PYTHONPATH"] = os.pathsep.join([processes.HERE, processes.ROOT])
    while wanted:
        options = {"sizes": arguments.sizes, "twin": arguments.twin, "wanted": wanted}
        with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
                [processes.peer_python(arguments.peers, peer), "-m", "architectures",
                 json.dumps(options)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, env=environment, universal_newlines=True) as process:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
                elif line.startswith('"') and json.loads(line) == wanted[0][0]:
                    wanted = wanted[1:]
            if process.wait() == 0:
                return
            errors.seek(0)
            problem = errors.read().strip()[-300:]
        yield {"architecture": wanted[0][0], "kind": wanted[0][1][-1], "size": "",
               "wrong": ["ended with {}: {}".format(process.returncode, problem)]}
        wanted = wanted[1:]


def cells(row):
    """A row of the table."""
    def number(key, form):
        return form.format(row[key]) if key in row else ""
    auto = row["auto"] + number("auto_cosine", " {:.5f}") if "auto" in row else ""
    return (row["architecture"], row["kind"], row.get("pixels", ""), row["size"],
            str(row.get("taps", "")), number("error", "{:.1e}"), number("cosine", "{:.5f}"), auto,
            "; ".join(row["wrong"]).replace("|", "/").replace("\n", " "))


def summary(rows):
    """How much was reached, and the worst numbers."""
    right = [row for row in rows if not row["wrong"] and "error" in row]
    reached = sorted(set(row["architecture"] for row in right))
    files = set((row["architecture"], row["kind"]) for row in right)
    by_kind = ["{} {}".format(sum(kind == each for _, kind in files), each)
               for each in architectures.KINDS]
    text = "{} architectures reached in {} files ({}) and {} rows; {} rows wrong.".format(
        len(reached), len(files), ", ".join(by_kind), len(right),
        sum(bool(row["wrong"]) for row in rows))
    if right:
        text += " Of those that are right, greatest error {:.1e}, least cosine in bf16 {:.5f}.".format(
            max(row["error"] for row in right), min(row.get("cosine", 1.0) for row in right))
    return text


def main():
    arguments = parse()
    rows = measured(arguments.rows)
    wanted = []
    for name in architectures.names():
        done = set(kind for each, kind, _ in rows if each == name)
        kinds = [kind for kind in architectures.kinds_of(name)
                 if kind in arguments.kinds and kind not in done]
        if kinds and any(text in name for text in arguments.only):
            wanted.append([name, kinds])
    for peer in ("keras", "torch"):
        for row in measure([pair for pair in wanted if peer_of(pair[0]) == peer], peer, arguments):
            print(" | ".join(cells(row)), file=sys.stderr, flush=True)
            keep(rows, row)
            if arguments.rows:
                with open(arguments.rows, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
    order = dict((name, place) for place, name in enumerate(architectures.names()))
    found = sorted(rows.values(), key=lambda row: (
        order.get(row["architecture"], len(order)), architectures.KINDS.index(row["kind"])))
    peers = [(peer, processes.peer_python(arguments.peers, peer))
             for peer in sorted(set(peer_of(row["architecture"]) for row in found))]
    report.publish("reach", "Which networks are reached (reach.py)",
                   [__doc__.split("\n\n", 2)[2].strip().replace("\n", " "),
                    report.table(_HEADER, [cells(row) for row in found]), summary(found)],
                   report.machine(peers=peers), arguments.write)
    sys.exit(1 if any(row["wrong"] for row in found) else 0)


if __name__ == "__main__":
    main()
