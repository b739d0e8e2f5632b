"""Networks of torchvision and timm from PyTorch weights, without PyTorch."""
from .loading import load_pytorch
from .pickles import check_not_pickled

__all__ = ["check_not_pickled", "load_pytorch"]
