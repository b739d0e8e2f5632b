"""Results in words and tables: text for terminals, HTML for notebooks, JSON for programs."""
import collections
import json

import numpy as np

from .markup import escape_html


class Result(object):
    """What results of the workbench have in common; each says what it is in `to_dict`."""

    def to_dict(self):
        """The result as a dict of plain Python values."""
        raise NotImplementedError

    def to_json(self, path=None):
        """The result as JSON.

        Parameters
        ----------
        path : str or Path, optional
            A file to write, whole or not at all.

        Returns
        -------
        str
        """
        text = json.dumps(self.to_dict(), indent=2)
        if path is not None:
            from .atomic import write_whole
            write_whole(path, lambda stream: stream.write(text.encode("utf-8")))
        return text

    def _rows(self):
        """Header and rows of the table that stands for the result, values as they are."""
        raise NotImplementedError

    def to_pandas(self):
        """The table as a pandas DataFrame; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas
        header, rows = self._rows()
        return pandas.DataFrame(rows, columns=header)

    def _sentences(self):
        """What the result says, a list of str."""
        raise NotImplementedError

    def __str__(self):
        header, rows = self._rows()
        return "\n".join(self._sentences() + ([text_table(header, rows)] if rows else []))

    def _repr_html_(self):
        header, rows = self._rows()
        paragraphs = "".join("<p>{}</p>".format(escape_html(text)) for text in self._sentences())
        return paragraphs + (html_table(header, rows) if rows else "")


def text_table(header, rows):
    """Aligned columns: the first to the left, the others to the right.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        Text as it is, floats with three decimals, None as nothing.

    Returns
    -------
    str
    """
    lines = [[cell(value) for value in line] for line in [header] + list(rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join("  ".join(
        [line[0].ljust(widths[0])] + [text.rjust(width) for text, width in zip(
            line[1:], widths[1:])]).rstrip() for line in lines)


def html_table(header, rows):
    """The same as HTML, in the plain style that notebooks give tables.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences

    Returns
    -------
    str
    """
    def line(values, tag):
        cells = "".join("<{0}{1}>{2}</{0}>".format(
            tag, " style='text-align:left'" if i == 0 else "", escape_html(cell(value)))
            for i, value in enumerate(values))
        return "<tr>{}</tr>".format(cells)

    return "<table><thead>{}</thead><tbody>{}</tbody></table>".format(
        line(header, "th"), "".join(line(row, "td") for row in rows))


def cell(value):
    """The text of one value of a table."""
    if value is None:
        return ""
    if isinstance(value, (float, np.floating)):
        return "{:.3f}".format(value)
    return "{:,}".format(value) if isinstance(value, (int, np.integer)) else str(value)


def percent(share):
    """A share of 1 in percent with one decimal: 0.9776 is 97.8 %."""
    return "{:.1f} %".format(100 * share)


def counted(number, one, many=None):
    """A number and what it counts: 1 photograph, 2 photographs."""
    return "{:,} {}".format(number, one if number == 1 else many or one + "s")


def plain(value):
    """NumPy's numbers and arrays as Python's own, for JSON."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return collections.OrderedDict((str(key), plain(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
