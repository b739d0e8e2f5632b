"""Training a head by gear_transfer, see head_data.py; an epoch alone, and the machine's speed."""
import os
import sys
import time

import head_data
import numpy as np

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peaks  # noqa: E402
from gear_transfer import HeadClassifier, _core  # noqa: E402

samples, width, classes, batch, epochs, threads = head_data.settings()
features, labels = head_data.make(samples, width, classes)


def epoch_seconds():
    """The median of the epochs after the first, before which the core checks what it is given."""
    core = _core.head((width, classes), 0)
    mean, inverse_deviation = core.standardisation(features, threads)
    ends = []
    core.train(features, labels.astype(np.int32), mean=mean, inverse_deviation=inverse_deviation,
               epochs=max(2, epochs), batch_size=batch, learning_rate=head_data.RATE,
               l2=head_data.L2, threads=threads, allow_bf16=True,
               callback=lambda *epoch: ends.append(time.perf_counter()))
    return float(np.median(np.diff(ends)))


head = HeadClassifier(epochs=epochs, batch_size=batch, learning_rate=head_data.RATE,
                      l2=head_data.L2, validation_fraction=0, threads=threads)
HeadClassifier(epochs=1, validation_fraction=0).fit(features[:2 * classes], labels[:2 * classes])
head_data.report(lambda: head.fit(features, labels), lambda: head.predict_proba(features),
                 epoch=epoch_seconds(), reading=peaks.reading(features, threads),
                 product=peaks.matrix_product("float32", threads))
