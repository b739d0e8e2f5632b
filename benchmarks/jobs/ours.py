"""The whole job with gear_transfer's defaults: ours.py FOLDER NEW_IMAGES MODEL [QUALITY]."""
import sys

from stages import Stages

stages = Stages()

import gear_transfer as gt  # noqa: E402

images = gt.load_folder(sys.argv[1])
model = gt.TransferClassifier(quality=sys.argv[4]) if sys.argv[4:] else gt.TransferClassifier()
stages.done("import, list the folder")
model.fit(images.paths, images.labels)
stages.done("features, train the head")
predicted = model.predict(gt.load_images(sys.argv[2]).paths)
stages.done("predict five")
model.save(sys.argv[3] + ".gtm")
stages.done("save")
stages.report(model.history_["val_accuracy"][-1], predicted)
