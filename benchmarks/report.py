"""Tables, the description of the machine, and the sections of RESULTS.md."""
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

import processes

RESULTS = os.path.join(processes.HERE, "RESULTS.md")

_HEADING = """# Results of the benchmarks

Each section is written by the script of the same name in this folder, run with `--write`, and says
on which machine. `sh benchmarks/peers.sh` makes the environments of the programs that are compared
with. Photographs, weights and reference features come from `../shared`.
"""

_DISTRIBUTIONS = ("gear_transfer", "numpy", "pillow", "scikit-learn", "h5py", "onednn-cpu-gomp",
                  "tensorflow-cpu", "keras", "openvino", "nncf", "onnxruntime", "onnx", "torch")

_VERSIONS = """
import importlib.metadata, json, platform, sys
found = [["Python", platform.python_version()]]
for name in json.loads(sys.argv[1]):
    try:
        found.append([name, importlib.metadata.version(name)])
    except importlib.metadata.PackageNotFoundError:
        pass
try:
    import gear_transfer
    from gear_transfer import _core
except ImportError:
    pass
else:
    found = [pair for pair in found if pair[0] != "gear_transfer"]
    found[1:1] = [["gear_transfer", gear_transfer.__version__],
                  ["oneDNN", "{0} ({1})".format(*_core.engine_info())]]
print(json.dumps(found))
"""

# Taken before the benchmark puts load on the machine.
_LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def add_write_option(parser):
    """The option --write of every script."""
    parser.add_argument("--write", nargs="?", const=RESULTS, metavar="FILE",
                        help="bring this script's section of FILE up to date (default: "
                             "benchmarks/RESULTS.md)")


def table(header, rows):
    """A Markdown table with aligned columns: the first to the left, the others to the right.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences of str

    Returns
    -------
    str
    """
    lines = [[str(cell) for cell in row] for row in [header] + list(rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    text = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        text.append("| " + " | ".join(cells) + " |")
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    text.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(text)


def spread(values, form="{:.2f}"):
    """Median of several values and, with more than one, the smallest and the largest."""
    text = form.format(statistics.median(values))
    if len(values) > 1:
        text += " ({}–{})".format(form.format(min(values)), form.format(max(values)))
    return text


def ratios(numerators, denominators):
    """Quotients of what was measured in the same round."""
    return [a / b for a, b in zip(numerators, denominators)]


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _processors_allowed():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory():
    try:
        return "{:.0f} GB of memory".format(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    except (AttributeError, OSError, ValueError):
        return "memory of unknown size"


def versions(python, is_peer=False):
    """Names and versions of what an interpreter has of the programs measured, as one line."""
    result = subprocess.run([python, "-c", _VERSIONS, json.dumps(_DISTRIBUTIONS)],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                            universal_newlines=True, env=processes.environment(is_peer),
                            cwd=tempfile.gettempdir())
    if result.returncode != 0:
        return "unknown versions"
    return ", ".join("{} {}".format(*pair) for pair in json.loads(result.stdout))


def machine(python=sys.executable, peers=()):
    """What was measured on, as Markdown lines.

    Parameters
    ----------
    python : str
        The interpreter that runs gear_transfer.
    peers : sequence of (str, str)
        Name and interpreter of each program compared with.

    Returns
    -------
    str
    """
    load = "" if _LOAD is None else ", load average at the start {:.1f}".format(_LOAD)
    lines = ["{}: {}, {} processors for this process of {}, {}, {} {}{}".format(
        datetime.date.today().isoformat(), _processor(), _processors_allowed(), os.cpu_count(),
        _memory(), platform.system(), platform.release(), load)]
    lines.append("ours: " + versions(python))
    lines += ["{}: {}".format(name, versions(peer, True)) for name, peer in peers]
    return "\n".join("- " + line for line in lines)


def publish(name, title, parts, description, path=None):
    """Print a report and, given a path, make it a section of that file.

    Parameters
    ----------
    name : str
        Of the section, for its markers.
    title : str
    parts : sequence of str
        Paragraphs and tables.
    description : str
        As `machine` returns it.
    path : str, optional
        The file to bring up to date; None for none.
    """
    text = "\n\n".join(["## " + title] + list(parts) + [description])
    print(text)
    if path is not None:
        _replace_section(path, name, text)
        print("\nwritten to {}".format(path))


def _replace_section(path, name, text):
    content = _HEADING
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            content = stream.read()
    start, end = "<!-- {} -->".format(name), "<!-- /{} -->".format(name)
    section = "{}\n{}\n{}".format(start, text, end)
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(content):
        content = pattern.sub(lambda _: section, content)
    else:
        content = content.rstrip("\n") + "\n\n" + section + "\n"
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as stream:
        stream.write(content)
    os.chmod(stream.name, 0o644)
    os.replace(stream.name, path)
