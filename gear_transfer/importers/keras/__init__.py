"""Models that Keras has saved, described as networks: graphs, layers and weights of Keras 1 to 3."""
from .archive import KerasArchive
from .families import find_family
from .model_config import Description, describe
from .weights import find_weights, read_arrays

__all__ = ["Description", "KerasArchive", "describe", "find_family", "find_weights", "read_arrays"]
