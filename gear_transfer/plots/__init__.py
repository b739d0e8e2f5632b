"""Pictures of results: training history, labelled images, confusion matrix, maps, neighbours.

Every function draws on the axes it is given, or on a new pyplot figure, and
returns the axes. None shows or closes a figure or touches the backend.
"""
from .confusion import plot_confusion_matrix
from .curves import plot_learning_curve, plot_learning_curves
from .duplicates import plot_duplicates
from .evidence import plot_misclassified, plot_nearest
from .grids import plot_images, plot_predictions, plot_views
from .history import plot_history
from .maps import plot_activation_maps
from .tuning import plot_tuning

__all__ = ["plot_activation_maps", "plot_confusion_matrix", "plot_duplicates", "plot_history",
           "plot_images", "plot_learning_curve", "plot_learning_curves", "plot_misclassified",
           "plot_nearest", "plot_predictions", "plot_tuning", "plot_views"]
