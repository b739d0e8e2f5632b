"""From a folder to pixels: which photographs there are, how they are read and split."""

#: Height and width, in pixels, that photographs are brought to where nothing else is asked for.
DEFAULT_INPUT_SIZE = (128, 128)
