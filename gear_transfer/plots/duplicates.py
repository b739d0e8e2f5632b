"""Near-duplicates, group by group."""
from ..common.arguments import check_whole_number
from .drawing import set_title, show_image, show_text, tiles

_LONGEST_NAME = 27
_TITLE_SIZE = 8  # at which so many letters fit a tile


def plot_duplicates(duplicates, most=8, columns=5, axes=None):
    """Show groups of near-duplicates, each in a row: what they are, and how far apart.

    Below a photograph's file stands the share of the bits of its hash in which it differs from
    the nearest other one of the group, or that it is the same file as one shown before.

    Parameters
    ----------
    duplicates : Duplicates
        As `find_duplicates` returns it.
    most : int
        Groups shown at most, the largest first.
    columns : int
        Photographs shown of a group at most, 2 or more.
    axes : array of at least most * columns Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    axes : ndarray of Axes
        One for each photograph shown; with no group, one that says so.

    Raises
    ------
    ValueError
        A number is out of range.
    """
    check_whole_number("most", most)
    check_whole_number("columns", columns, 2)
    groups = duplicates.clusters()[:most]
    if not groups:
        return show_text(axes, "no near-duplicates")
    columns = min(columns, max(len(group) for group in groups))
    cells, shown = [], []
    for row, group in enumerate(groups):
        cells.extend(row * columns + place for place in range(min(len(group), columns)))
        shown.extend((row, group, place) for place in range(min(len(group), columns)))
    names, apart = duplicates.names(), _nearest_in_group(duplicates)
    drawn = tiles(cells, columns, 3, axes)
    for tile, (row, group, place) in zip(drawn, shown):
        i = group[place]
        again = duplicates.exact[i] in duplicates.exact[group[:place]]
        distance = "the same file" if again else (
            "distance {:.3f}".format(apart[i]) if i in apart else "")
        head = "group {}: {} photographs".format(row + 1, len(group)) if place == 0 else ""
        show_image(tile, duplicates.images[i])
        set_title(tile, [head, _shortened(names[i]), distance], size=_TITLE_SIZE)
    return drawn


def _nearest_in_group(duplicates):
    """Distance of each photograph to the nearest other one of its group, by position."""
    nearest = {}
    for pair, distance in zip(duplicates.pairs.tolist(), duplicates.distances.tolist()):
        if duplicates.groups[pair[0]] == duplicates.groups[pair[1]]:
            for i in pair:
                nearest[i] = min(distance, nearest.get(i, distance))
    return nearest


def _shortened(name):
    """The end of a long name, which tells files of one folder apart."""
    return name if len(name) <= _LONGEST_NAME else "..." + name[3 - _LONGEST_NAME:]
