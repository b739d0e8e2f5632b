"""Text on its way into an HTML page."""
import html


def escape_html(text):
    """Text as HTML, also names that are not UTF-8 on disk.

    Parameters
    ----------
    text : object
        Its str is taken.

    Returns
    -------
    str
        Undecodable bytes, lone surrogates in Python, become question marks.

    Examples
    --------
    >>> from gear_transfer.common.markup import escape_html
    >>> escape_html("<b> & \\udce9")
    '&lt;b&gt; &amp; ?'
    """
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))
