"""One HTML page about a classifier and its photographs, which needs nothing else."""
from .page import report

__all__ = ["report"]
