"""What Keras needs before it sees a photograph: import, build InceptionV3, load its weights.

    keras_load.py FOLDER NEW_IMAGES MODEL WEIGHTS
"""
import sys

from stages import Stages

stages = Stages()

from keras_inception import frozen_base  # noqa: E402

stages.done("import")
frozen_base(sys.argv[4], pooling="avg")
stages.done("build InceptionV3, load its weights")
stages.report(None, [])
