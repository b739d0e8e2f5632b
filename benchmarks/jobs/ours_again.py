"""The whole job where the features are known from an earlier process, with other settings of the head.

    ours_again.py FOLDER NEW_IMAGES MODEL

Then the head once more in the same process, with settings that are others again.
"""
import sys

from stages import Stages

stages = Stages()

import gear_transfer as gt  # noqa: E402

images = gt.load_folder(sys.argv[1])
model = gt.TransferClassifier(learning_rate=0.001, l2=0.001)
stages.done("import, list the folder")
model.fit(images.paths, images.labels)
stages.done("features from the cache, train the head")
predicted = model.predict(gt.load_images(sys.argv[2]).paths)
stages.done("predict five")
model.save(sys.argv[3] + ".gtm")
stages.done("save")
model.set_params(learning_rate=0.002, epochs=30).fit(images.paths, images.labels)
stages.done("fit again")
stages.report(model.history_["val_accuracy"][-1], predicted)
