"""Training a head by gear_transfer; see head_data.py. Also how fast the features are read."""
import os
import sys

import head_data

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peaks  # noqa: E402
from gear_transfer import HeadClassifier  # noqa: E402

samples, width, classes, batch, epochs, threads = head_data.settings()
features, labels = head_data.make(samples, width, classes)
head = HeadClassifier(epochs=epochs, batch_size=batch, learning_rate=head_data.RATE,
                      l2=head_data.L2, validation_fraction=0, threads=threads)
HeadClassifier(epochs=1, validation_fraction=0).fit(features[:2 * classes], labels[:2 * classes])
head_data.report(lambda: head.fit(features, labels), lambda: head.predict_proba(features),
                 reading=peaks.reading(features, threads),
                 product=peaks.matrix_product("float32", threads))
