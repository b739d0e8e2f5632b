"""The pieces of HTML that sections are made of; text is escaped here and nowhere else."""
from ..common.markup import escape_html
from ..common.tables import counted
from .pictures import thumbnail


def paragraph(text):
    """A paragraph of text."""
    return "<p>{}</p>".format(escape_html(text))


def facts(rows):
    """Large figures side by side.

    Parameters
    ----------
    rows : sequence of (name, value, note, kind)
        `kind` is a class of the style sheet, or empty.
    """
    return "<dl class=\"facts\">{}</dl>".format("".join(
        "<div><dt>{}</dt><dd class=\"{}\">{}<small>{}</small></dd></div>".format(
            escape_html(name), kind, escape_html(value), escape_html(note))
        for name, value, note, kind in rows))


def table(caption, header, rows, footer=None, kind=""):
    """A table whose first column names the row; it scrolls where it is too wide.

    Parameters
    ----------
    caption : str
    header : sequence of str
    rows : sequence of sequence
        Cells that are `Html` are taken as they are.
    footer : sequence, optional
    kind : str
        A class of the style sheet.
    """
    head = "".join("<th scope=\"col\">{}</th>".format(escape_html(name)) for name in header)
    foot = "<tfoot>{}</tfoot>".format(_row(footer)) if footer else ""
    return ("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\">"
            "<table class=\"{1}\"><caption>{0}</caption><thead><tr>{2}</tr></thead>"
            "<tbody>{3}</tbody>{4}</table></div>").format(
                escape_html(caption), kind, head, "".join(_row(row) for row in rows), foot)


class Html(str):
    """A cell of a table that is HTML already, its td element included."""


def _row(cells):
    return "<tr><th scope=\"row\">{}</th>{}</tr>".format(_breakable(cells[0]), "".join(
        cell if isinstance(cell, Html) else "<td>{}</td>".format(escape_html(cell))
        for cell in cells[1:]))


def matrix_cell(count, share, hit):
    """A cell of the confusion matrix, coloured by the share of its row."""
    kind = "none" if not count else "hit" if hit else "miss"
    return Html("<td class=\"{}\" style=\"--share:{:.3f}\">{}</td>".format(kind, share, count))


def tile(image, title, lines=(), wrong=None, described=None, kind=""):
    """A small picture with a title.

    Parameters
    ----------
    image : str, Path, PIL image or uint8 ndarray
    title : str
    lines : sequence of str
        Shown below the title.
    wrong : str, optional
        A further line, shown as a mistake.
    described : str, optional
        The text for those who do not see the picture; default is the title.
    kind : str
        A class of the style sheet; default is "wrong" where there is a mistake.
    """
    text = ["<b>{}</b>".format(_breakable(title))]
    text += ["<span>{}</span>".format(_breakable(line)) for line in lines]
    if wrong:
        text.append("<span class=\"bad\">{}</span>".format(_breakable(wrong)))
    return "<figure class=\"{}\">{}<figcaption>{}</figcaption></figure>".format(
        kind or ("wrong" if wrong else ""), picture(image, described or title), "".join(text))


def picture(image, described):
    """A small picture, or a line that says that it cannot be read."""
    source = thumbnail(image)
    described = escape_html(described)
    if source is None:
        return "<p class=\"faint\">{}: cannot be read</p>".format(described)
    return "<img src=\"{}\" alt=\"{}\">".format(source, described)


def _breakable(text):
    """Escaped text that may be broken behind underscores."""
    return escape_html(text).replace("_", "_<wbr>")


def card(name, number, pictures, share=None):
    """A class or a group: its name, the number of its photographs and a few of them.

    With `share`, of the largest class, there is a bar too.
    """
    bar = "" if share is None else (
        "<div class=\"bar\" aria-hidden=\"true\"><span style=\"width:{:.1f}%\"></span></div>".format(
            100 * share))
    return ("<li><div><h3>{}</h3><p class=\"faint\">{}</p></div>{}<div class=\"strip\">{}</div>"
            "</li>").format(_breakable(name), counted(number, "photograph"), bar, "".join(pictures))


def cards(of):
    """Classes or groups side by side."""
    return "<ul class=\"cards\">{}</ul>".format("".join(of))


def tiles(figures, kind=""):
    """Pictures in a grid that is as wide as the page allows."""
    return "<ul class=\"tiles {}\">{}</ul>".format(kind, "".join(
        "<li>{}</li>".format(figure) for figure in figures))


def folded(summary, content):
    """Content that is shown on demand."""
    return "<details><summary>{}</summary>{}</details>".format(escape_html(summary), content)


def names(entries):
    """A list of names, each with what is to be said of it."""
    return "<ul class=\"names\">{}</ul>".format("".join(
        "<li>{}: {}</li>".format(escape_html(name), escape_html(text)) for name, text in entries))
