"""Networks of torchvision and timm from PyTorch weights, without PyTorch."""
from .loading import load_pytorch

__all__ = ["load_pytorch"]
