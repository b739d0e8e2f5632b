"""Why it thinks so: the training photographs most like a photograph."""
import collections

#: What a classifier was trained on: the images that could be read, a list of what `fit` was given
#: for each; their labels (n,), their features (n, d) float32, and the groups (n,) of near-duplicates
#: they belong to, or None.
TrainingPhotographs = collections.namedtuple("TrainingPhotographs",
                                             ["images", "labels", "features", "groups"])
