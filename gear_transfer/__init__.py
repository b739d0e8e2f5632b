"""Photographs in, a trained classifier out, on an ordinary CPU.

>>> import gear_transfer as gt                                    # doctest: +SKIP
>>> images = gt.load_folder("gear_images")                        # doctest: +SKIP
>>> model = gt.TransferClassifier().fit(images.paths, images.labels)  # doctest: +SKIP
>>> model.predict(["new/axe.jpg"])                                # doctest: +SKIP

Public names are imported when they are first used, so that importing the
package costs little and what is not used (matplotlib, scikit-learn) is not
loaded.
"""
import importlib
import os
import sys
import types

__version__ = "0.1.0"

_HOMES = {
    "classifiers.classifier": ["TransferClassifier"],
    "classifiers.head": ["HeadClassifier"],
    "classifiers.model_file": ["load_model"],
    "classifiers.novelty": ["NoveltyDetector"],
    "classifiers.sample": ["predict_image"],
    "common.cache": ["CacheWarning", "FeatureCache"],
    "common.machine": ["machine_info"],
    "errors": ["DatasetError", "DatasetWarning", "EngineError", "GearTransferError", "GraphError",
               "ImageError", "ModelFileError", "SkippedImageWarning", "WeightsError"],
    "exporters.export": ["export"],
    "features.backbone": ["Backbone"],
    "features.extractor": ["FeatureExtractor"],
    "features.listing": ["backbones"],
    "importers.convert": ["convert"],
    "importers.download": ["download_official_weights"],
    "photographs.augmentation": ["Augmentation"],
    "photographs.datasets": ["make_shape", "make_shapes"],
    "photographs.duplicates": ["find_duplicates"],
    "photographs.image_set": ["ImageSet", "load_folder", "load_images"],
    "photographs.images": ["read_image"],
    "photographs.splits": ["Split", "split_images"],
    "plots": ["plot_activation_maps", "plot_confusion_matrix", "plot_duplicates", "plot_history",
              "plot_images", "plot_learning_curve", "plot_learning_curves", "plot_misclassified",
              "plot_nearest", "plot_predictions", "plot_tuning", "plot_views"],
    "reporting": ["report"],
    "workbench.evaluation": ["CrossValidation", "cross_validate"],
    "workbench.feature_set": ["FeatureSet", "compute_features"],
    "workbench.intervals": ["wilson_interval"],
    "workbench.learning_curves": ["LearningCurve", "learning_curve"],
    "workbench.maps": ["activation_map", "map_extent"],
    "workbench.model_card": ["model_card"],
    "workbench.neighbours": ["nearest"],
    "workbench.suspects": ["LabelSuspects", "find_label_suspects"],
    "workbench.trials": ["Tuning"],
    "workbench.tuning": ["tune"],
}
_HOME_OF = dict((name, home) for home in _HOMES for name in _HOMES[home])

__all__ = sorted(_HOME_OF)


def _import_core():
    """Import the compiled core, or say what to do where that cannot be.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        The core is not there, or oneDNN's library is not.
    """
    try:
        return importlib.import_module("gear_transfer._core")
    except ImportError as error:
        folder = os.path.dirname(os.path.abspath(__file__))
        if error.name == "gear_transfer._core" and not error.path:
            problem = "{} has no compiled core for this Python".format(folder)
        elif "libdnnl" in str(error):
            problem = "the core in {} does not find oneDNN's library ({})".format(folder, error)
        else:
            raise
        raise ImportError("{}: {}".format(problem, _remedy(os.path.dirname(folder)))) from None


def _remedy(root):
    """What to do about a core that is missing below `root`."""
    if os.path.exists(os.path.join(root, "setup.py")):
        return ("start Python in another folder to use the gear_transfer that is installed, or "
                "compile it here: python -m pip install -e \"{}\"".format(root))
    return "install gear-transfer again: python -m pip install --force-reinstall --no-deps"


class _LazyPackage(types.ModuleType):
    """This package with its public names imported on first use.

    A module-level ``__getattr__`` would do, but needs Python 3.7.
    """

    def __getattr__(self, name):
        if name == "_core":
            return _import_core()
        if name not in _HOME_OF:
            raise AttributeError("module {!r} has no attribute {!r}".format(self.__name__, name))
        value = getattr(importlib.import_module("." + _HOME_OF[name], self.__name__), name)
        setattr(self, name, value)
        return value

    def __dir__(self):
        return sorted(set(super().__dir__()) | set(__all__))

    def __reduce__(self):
        """Travels by its name, as modules do in functions that are sent to other processes."""
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _LazyPackage
