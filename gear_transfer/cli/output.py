"""What the commands print: data on standard output, messages on standard error."""
import collections
import contextlib
import csv
import hashlib
import io
import json
import math
import os
import sys
import warnings


def open_closed_streams():
    """Let what the caller has closed lead to nowhere.

    Otherwise messages are errors, and a file that is opened later takes the number of standard
    error, to which libraries write.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def complain(message):
    """Print one message on standard error."""
    text = "gear-transfer: {}\n".format(message)
    # Names that are not UTF-8 on disk come as lone surrogates, which no stream can encode.
    sys.stderr.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    sys.stderr.flush()


@contextlib.contextmanager
def messages_to_stderr(quiet):
    """Show warnings as messages on standard error, or with `quiet` not at all."""
    def show(message, category, filename, lineno, file=None, line=None):
        if not quiet:
            complain("warning: {}".format(message))

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = show
        yield


def wants_progress(arguments):
    """Whether progress bars are wanted: standard error is a terminal and nobody said --quiet."""
    return not arguments.quiet and sys.stderr.isatty()


def write(text):
    """Write data to standard output in UTF-8, names of files byte for byte as they are."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # a stream of text alone, in place of the real one
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        stream.write(text.encode("utf-8", "surrogateescape"))
        stream.flush()


def write_json(value):
    """Write one value as JSON, NaN as null."""
    write(json.dumps(_plain(value), indent=2) + "\n")


def write_csv(rows, columns):
    """Write rows as CSV.

    Parameters
    ----------
    rows : iterable of dict
        Written as they come; None becomes an empty field.
    columns : sequence of str
    """
    header = _csv_line(columns)  # comes with the first row, so that an error before it stands alone
    for row in rows:
        write(header + _csv_line("" if row.get(name) is None else row[name] for name in columns))
        header = ""
    write(header)


def write_json_rows(rows):
    """Write an iterable of dict as a JSON array, one row a line, as they come."""
    start = "[\n"
    for row in rows:
        write(start + json.dumps(_plain(row)))
        start = ",\n"
    write("\n]\n" if start == ",\n" else "[]\n")


def write_json_lines(rows):
    """Write an iterable of dict as JSON, one row a line and nothing between, as they come."""
    for row in rows:
        write(json.dumps(_plain(row)) + "\n")


def file_facts(path):
    """Path, size and SHA-256 of a file, as JSON has them."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return collections.OrderedDict([
        ("path", path), ("bytes", os.path.getsize(path)), ("sha256", digest.hexdigest())])


def skipped_facts(skipped):
    """Files that were left out, each with the reason, as JSON has them."""
    return [collections.OrderedDict(zip(("path", "reason"), each)) for each in skipped]


def unreadable_files(skipped):
    """Those of the files left out of class folders that should have been photographs.

    Parameters
    ----------
    skipped : sequence of SkippedFile

    Returns
    -------
    list of SkippedFile
    """
    return [each for each in skipped
            if not os.path.isdir(each.path) and not each.reason.startswith("it lies beside")]


def complain_of_unreadable(files, quiet):
    """Say how many photographs cannot be read, and which is the first, if there are any."""
    if files and not quiet:
        complain("warning: {} of the photographs cannot be read, the first is {}: {}".format(
            len(files), *files[0]))


def _csv_line(cells):
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(list(cells))
    return line.getvalue()


def _plain(value):
    """A value as JSON can hold it, NumPy's types included; dicts keep their order."""
    if isinstance(value, dict):
        return type(value)((str(key), _plain(each)) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
