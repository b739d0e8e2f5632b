"""Pictures of results: the training history, labelled images, the confusion matrix.

Every function draws on the axes it is given, or on a new pyplot figure, and
returns the axes. None shows or closes a figure or touches the backend.
"""
from .confusion import plot_confusion_matrix
from .grids import plot_images, plot_predictions
from .history import plot_history

__all__ = ["plot_confusion_matrix", "plot_history", "plot_images", "plot_predictions"]
