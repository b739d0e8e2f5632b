"""The order in which Keras counts the layers of a model, by which it names their weights."""


def keras_order(inputs, last):
    """Names of layers in the order that Keras gives them: by their depth, then as they are met.

    The depth of a layer is the longest way from it to the last one; they are met going back from the
    last one, the first input of each before the second.

    Parameters
    ----------
    inputs : dict of str to sequence of str
        Of each layer the layers that it reads.
    last : str

    Returns
    -------
    list of str
    """
    met, finished = _walk(inputs, last)
    depths = {last: 0}
    for name in reversed(finished):
        for other in inputs[name]:
            depths[other] = max(depths.get(other, 0), depths[name] + 1)
    return sorted(depths, key=lambda name: (-depths[name], met[name]))


def _walk(inputs, last):
    """When each layer is met first, and the layers as they are finished, the deepest first."""
    met, finished, waiting = {last: 0}, [], [(last, iter(inputs[last]))]
    while waiting:
        name, others = waiting[-1]
        other = next(others, None)
        if other is None:
            finished.append(name)
            waiting.pop()
        elif other not in met:
            met[other] = len(met)
            waiting.append((other, iter(inputs[other])))
    return met, finished
