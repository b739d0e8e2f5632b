"""The head's arithmetic against finite differences and a plain NumPy twin in float64."""
import numpy as np
import pytest

from gear_transfer import HeadClassifier, _core


def data(n=70, d=9, classes=4, seed=0):
    """Features that are far from standardised, and labels that depend on them."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, classes, n).astype(np.int32)
    labels[:classes] = np.arange(classes)
    X = random.randn(n, d) + 0.8 * random.randn(classes, d)[labels]
    X = X * random.uniform(0.5, 3, d) + random.uniform(-2, 2, d)
    return X.astype(np.float32), labels


def scaling(X):
    return X.mean(axis=0), (1 / X.std(axis=0)).astype(np.float32)


def layers_of(head):
    return [(kernel.astype(float), bias.astype(float)) for kernel, bias in head.get_layers()]


# The twin

def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def forward(layers, X):
    """The input of each layer, and the probabilities."""
    active = [X]
    for kernel, bias in layers[:-1]:
        active.append(np.maximum(active[-1].dot(kernel) + bias, 0))
    kernel, bias = layers[-1]
    return active, softmax(active[-1].dot(kernel) + bias)


def loss_gradient(layers, X, labels, weights, l2):
    """Loss, gradient and number of right answers of one minibatch."""
    n = len(X)
    active, probabilities = forward(layers, X)
    chosen = probabilities[np.arange(n), labels]
    loss = -(weights[labels] * np.log(chosen)).sum() / n
    loss += l2 * sum((kernel ** 2).sum() for kernel, _ in layers)
    delta = probabilities.copy()
    delta[np.arange(n), labels] -= 1
    delta *= weights[labels][:, None] / n
    gradient = []
    for k in reversed(range(len(layers))):
        kernel = layers[k][0]
        gradient.insert(0, (active[k].T.dot(delta) + 2 * l2 * kernel, delta.sum(axis=0)))
        delta = delta.dot(kernel.T) * (active[k] > 0)
    return loss, gradient, (probabilities.argmax(axis=1) == labels).sum()


def adam(step, rate, parameters, gradients, state):
    for value, gradient, (mean, square) in zip(parameters, gradients, state):
        mean += (gradient - mean) * (1 - 0.9)
        square += (gradient ** 2 - square) * (1 - 0.999)
        scale = rate * np.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
        value -= scale * mean / (np.sqrt(square) + 1e-7)


def momentum(step, rate, parameters, gradients, state, share=0.7):
    for value, gradient, (velocity, _) in zip(parameters, gradients, state):
        velocity *= share
        velocity -= rate * gradient
        value += velocity


def train(layers, X, labels, weights, l2, epochs, batch_size, optimizer, rate, cosine, seed):
    """Trains `layers` in place; loss and accuracy of each epoch."""
    n = len(X)
    steps = epochs * -(-n // batch_size)
    state = [[np.zeros_like(part), np.zeros_like(part)] for layer in layers for part in layer]
    history = []
    step = 0
    for epoch in range(epochs):
        order = _core.shuffle(n, seed, epoch)
        assert sorted(order.tolist()) == list(range(n))
        loss, correct = 0.0, 0
        for start in range(0, n, batch_size):
            rows = order[start:start + batch_size]
            part, gradient, right = loss_gradient(layers, X[rows], labels[rows], weights, l2)
            loss, correct = loss + part * len(rows), correct + right
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps)) if cosine else rate
            step += 1
            optimizer(step, now, [part for layer in layers for part in layer],
                      [part for layer in gradient for part in layer], state)
        history.append((loss / n, correct / float(n)))
    return history


# Gradient

@pytest.mark.parametrize("widths", [(9, 4), (9, 7, 4), (9, 8, 5, 4)])
@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_gradient_against_finite_differences(widths, l2):
    X, labels = data()
    mean, inverse = scaling(X)
    weights = np.array([1.0, 0.25, 2.0, 1.5], np.float32)
    head = _core.head(widths, 3)
    loss, gradient = head.loss_gradient(X, labels, mean=mean, inverse_deviation=inverse,
                                        class_weights=weights, l2=l2)
    scaled = (X.astype(float) - mean) * inverse
    layers = layers_of(head)
    parameters = [part for layer in layers for part in layer]
    assert gradient.shape == (sum(part.size for part in parameters),)
    expected = loss_gradient(layers, scaled, labels, weights, l2)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-6)
    flat = np.concatenate([part.ravel() for layer in expected[1] for part in layer])
    np.testing.assert_allclose(gradient, flat, rtol=1e-4, atol=1e-6)
    differences = []
    for part in parameters:
        for place in np.ndindex(*part.shape):
            value, sides = part[place], []
            for step in (1e-6, -1e-6):
                part[place] = value + step
                sides.append(loss_gradient(layers, scaled, labels, weights, l2)[0])
            part[place] = value
            differences.append((sides[0] - sides[1]) / 2e-6)
    np.testing.assert_allclose(gradient, differences, atol=2e-5 * np.abs(gradient).max())


def test_gradient_against_differences_of_the_core_itself():
    """Without the twin: a step along the gradient changes the core's loss as it says."""
    X, labels = data(seed=5)
    head = _core.head((9, 6, 4), 1)
    loss, gradient = head.loss_gradient(X, labels, l2=0.01)
    length = 1e-3 / np.linalg.norm(gradient)
    sides = []
    start = head.get_layers()
    for sign in (1, -1):
        place = 0
        for k, (kernel, bias) in enumerate(start):
            moved = []
            for part in (kernel, bias):
                step = gradient[place:place + part.size].reshape(part.shape)
                moved.append((part + sign * length * step).astype(np.float32))
                place += part.size
            head.set_layer(k, *moved)
        sides.append(head.loss_gradient(X, labels, l2=0.01)[0])
    slope = (sides[0] - sides[1]) / (2 * length)
    np.testing.assert_allclose(slope, (gradient.astype(float) ** 2).sum(), rtol=2e-3)


# Epochs

@pytest.mark.parametrize("optimizer, rate", [("adam", 0.01), ("sgd", 0.05)])
@pytest.mark.parametrize("epochs, l2, weighted, schedule", [
    (1, 0.0, False, "constant"), (1, 0.02, True, "cosine"), (5, 0.02, True, "constant"),
    (5, 0.02, False, "cosine")])
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_epochs_against_the_twin(optimizer, rate, epochs, l2, weighted, schedule, hidden):
    X, labels = data()
    held, held_labels = data(n=21, seed=1)
    mean, inverse = scaling(X)
    weights = np.array([0.5, 2.0, 1.0, 1.7] if weighted else [1.0] * 4, np.float32)
    head = _core.head((9,) + hidden + (4,), 11)
    layers = layers_of(head)
    seen = []
    head.train(X, labels, validation_features=held, validation_labels=held_labels, mean=mean,
               inverse_deviation=inverse, class_weights=weights if weighted else None,
               epochs=epochs, batch_size=16, optimizer=optimizer, schedule=schedule,
               learning_rate=rate, momentum=0.7, l2=l2, seed=17, threads=1,
               callback=lambda *values: seen.append(values))
    scaled = (X.astype(float) - mean) * inverse
    history = train(layers, scaled, labels, weights.astype(float), l2, epochs, 16,
                    adam if optimizer == "adam" else momentum, rate, schedule == "cosine", 17)
    for ours, expected in zip(head.get_layers(), layers):
        np.testing.assert_allclose(ours[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(ours[1], expected[1], atol=1e-5)
    assert [values[0] for values in seen] == list(range(epochs))
    np.testing.assert_allclose([values[1] for values in seen],
                               [loss for loss, _ in history], rtol=1e-5)
    assert [values[2] for values in seen] == [accuracy for _, accuracy in history]
    scaled = (held.astype(float) - mean) * inverse
    loss, _, right = loss_gradient(layers, scaled, held_labels, np.ones(4), l2)
    np.testing.assert_allclose(seen[-1][3], loss, rtol=1e-5)
    assert seen[-1][4] == right / 21.0


def test_classifier_against_the_twin():
    """HeadClassifier as a whole: scaling, its folding, the order and the cosine."""
    X, labels = data(n=120, seed=2)
    names = np.array(["a", "b", "c", "d"])[labels]
    model = HeadClassifier(epochs=3, validation_fraction=0, random_state=5, l2=0.01,
                           learning_rate=0.003,
                           class_weight={"a": 1, "b": 3, "c": 0.5, "d": 1}).fit(X, names)
    mean, deviation = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
    layers = [[np.zeros((9, 4)), np.zeros(4)]]  # without hidden layers it begins at zero
    history = train(layers, (X - mean) / deviation, labels, np.array([1, 3, 0.5, 1]), 0.01, 3, 32,
                    adam, 0.003, True, 5)
    np.testing.assert_allclose(model.history_["loss"], [loss for loss, _ in history], rtol=1e-5)
    kernel, bias = layers[0]
    kernel = kernel / deviation[:, None]
    np.testing.assert_allclose(model.coefs_[0], kernel, atol=1e-5)
    np.testing.assert_allclose(model.intercepts_[0], bias - mean.dot(kernel), atol=1e-5)
    expected = forward(layers, (X - mean) / deviation)[1]
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)


# Prediction, scaling, seeds

@pytest.mark.parametrize("hidden", [(), (12,), (12, 5)])
def test_predictions(hidden):
    X, _ = data(n=301)
    head = _core.head((9,) + hidden + (4,), 2)
    active, expected = forward(layers_of(head), X.astype(float))
    kernel, bias = layers_of(head)[-1]
    for threads in (1, 2, 3):
        np.testing.assert_allclose(head.predict(X, threads), expected, atol=1e-6)
        np.testing.assert_allclose(head.predict(X, threads, logits=True),
                                   active[-1].dot(kernel) + bias, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(head.predict(X, threads), head.predict(X, 1))
    with pytest.raises(ValueError):
        head.predict(X[:0], 2)
    np.testing.assert_allclose(head.predict(np.asfortranarray(X)[::-1], 1)[::-1], expected,
                               atol=1e-6)
    huge = head.predict(X * 1e30, 1)
    assert np.isfinite(huge).all() and np.allclose(huge.sum(axis=1), 1)


@pytest.mark.parametrize("widths", [(3, 3), (768, 12), (20, 1, 2), (768, 64, 12)])
def test_a_row_is_predicted_alike_in_any_company(widths):
    """Bit for bit, also by itself and as the last of 257, where the core's second block has one row."""
    X = np.random.RandomState(1).randn(257, widths[0]).astype(np.float32)
    head = _core.head(widths, 3)
    for logits in (True, False):
        together = head.predict(X, 2, logits)
        for size in (1, 2, 3, 31, 128, 256):
            apart = [head.predict(X[i:i + size], 1, logits) for i in range(0, len(X), size)]
            np.testing.assert_array_equal(np.concatenate(apart), together)


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_fold_scaling(hidden):
    X, _ = data(seed=3)
    mean, inverse = scaling(X)
    head = _core.head((9,) + hidden + (4,), 2)
    before = head.predict((X - mean) * inverse, 1)
    layers = layers_of(head)
    head.fold_scaling(mean, inverse)
    np.testing.assert_allclose(head.predict(X, 1), before, atol=2e-6)
    kernel, bias = layers_of(head)[0]
    np.testing.assert_allclose(kernel, layers[0][0] * inverse[:, None], rtol=1e-6)
    np.testing.assert_allclose(bias, layers[0][1] - mean.dot(kernel), rtol=1e-5, atol=1e-6)
    for ours, kept in zip(layers_of(head)[1:], layers[1:]):
        np.testing.assert_array_equal(ours[0], kept[0])


def trained(**settings):
    X, labels = data()
    options = dict(hidden_layers=(20,), dropout=0.3, epochs=4, random_state=7, threads=2)
    options.update(settings)
    model = HeadClassifier(**options).fit(X, labels)
    return b"".join(part.tobytes() for part in model.coefs_ + model.intercepts_)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 5, 64, 65, 500])
def test_standardisation(n, threads):
    random = np.random.RandomState(n)
    X = (random.randn(n, 7) * [1, 1e-6, 1e6, 1, 1e25, 1, 1] + [0, 0, 0, 1e3, 0, 0, 0]).astype(
        np.float32)
    X[:, 5] = 0.1  # never changes
    X[0, 6] = 1e6  # far from all others
    rows = random.permutation(n)[:max(1, n // 2)]
    head = _core.head((7, 2), 0)
    for places in (None, rows):
        chosen = (X if places is None else X[places]).astype(float)
        mean, inverse = head.standardisation(X, threads, places)
        deviation = chosen.std(axis=0)
        deviation[deviation == 0] = np.inf
        assert mean.dtype == inverse.dtype == np.float32
        assert (abs(mean - chosen.mean(axis=0)) <= 2e-7 * abs(chosen).max(axis=0)).all()
        np.testing.assert_allclose(inverse[:5], 1 / deviation[:5], rtol=1e-6)
        np.testing.assert_allclose(inverse[6], 1 / deviation[6], rtol=1e-6)
        assert inverse[5] == 0 and mean[5] == np.float32(0.1)


@pytest.mark.parametrize("rows", [[0, 20], [-1], [5, 2 ** 40]])
def test_rows_that_are_not_there(rows):
    X, labels = data(20)
    head = _core.head((9, 4), 0)
    for call in (lambda: head.standardisation(X, 1, np.array(rows)),
                 lambda: head.train(X, labels[:len(rows)], rows=np.array(rows))):
        with pytest.raises(ValueError) as caught:
            call()
        assert "there are 20 rows of features" in str(caught.value)


def test_some_rows_or_a_copy_of_them():
    """Training on some rows is training on a copy of them, bit for bit."""
    X, labels = data(300)
    rows = np.random.RandomState(1).permutation(300)[:170]
    results = []
    for features, places in ((X, rows), (X[rows], None)):
        head = _core.head((9, 5, 4), 3)
        mean, inverse = head.standardisation(features, 2, places)
        head.train(features, labels[rows], rows=places, mean=mean, inverse_deviation=inverse,
                   epochs=3, batch_size=32, dropout=0.2)
        results.append(head.get_layers())
    for ours, theirs in zip(*results):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    bad = X.copy()
    bad[rows[3], 2] = np.nan
    with pytest.raises(ValueError) as caught:
        _core.head((9, 4), 0).train(bad, labels[rows], rows=rows)
    assert "row {}".format(rows[3]) in str(caught.value)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_threads_change_hardly_anything(optimizer):
    """So large that threads share the work, in uneven parts, beside one thread."""
    random = np.random.RandomState(0)
    X = random.standard_normal((9001, 300)).astype(np.float32)
    labels = random.randint(0, 401, 9001).astype(np.int32)
    found = []
    for threads in (1, 2, 2, 3):
        head = _core.head((300, 401), 0)
        losses = []
        head.train(X, labels, epochs=1, batch_size=1001, l2=0.001, threads=threads,
                   optimizer=optimizer, callback=lambda *epoch: losses.append(epoch[1:3]))
        found.append((head.get_layers()[0], losses))
    one, two, again, three = found
    np.testing.assert_array_equal(two[0][0], again[0][0])
    assert two[1] == again[1]
    for other in (two, three):
        np.testing.assert_allclose(other[1], one[1], rtol=1e-5)
        np.testing.assert_allclose(other[0][0], one[0][0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other[0][1], one[0][1], rtol=1e-3, atol=1e-4)


def test_seeds():
    assert trained() == trained()
    assert trained() != trained(random_state=8)
    assert trained(random_state=np.random.RandomState(1)) == trained(
        random_state=np.random.RandomState(1))
    assert trained() == trained(random_state=np.int64(7))
    assert trained(threads=1) == trained(threads=1)
    assert trained(epochs=5) != trained() != trained(dropout=0.2)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_order(n):
    order = _core.shuffle(n, 3, 0)
    assert order.dtype == np.int64 and sorted(order.tolist()) == list(range(n))
    np.testing.assert_array_equal(order, _core.shuffle(n, 3, 0))
    if n > 3:
        assert order.tolist() != _core.shuffle(n, 3, 1).tolist() != list(range(n))
        assert order.tolist() != _core.shuffle(n, 4, 0).tolist()


@pytest.mark.parametrize("change, error, part", [
    ({"features": np.zeros((5, 8), np.float32)}, ValueError, "features must have length 9"),
    ({"features": np.zeros(9, np.float32)}, ValueError, "features must have 2 dimensions"),
    ({"features": np.full((5, 9), np.nan, np.float32)}, ValueError, "NaN"),
    ({"features": np.full((5, 9), "x")}, TypeError, "features must be an array of float32"),
    ({"labels": np.zeros(4, np.int32)}, ValueError, "labels must have length 5"),
    ({"labels": np.full(5, 4, np.int32)}, ValueError, "label 4 at index 0"),
    ({"labels": np.full(5, -1, np.int32)}, ValueError, "label -1 at index 0"),
    ({"labels": np.zeros(5)}, TypeError, "labels must be an array of int32"),
    ({"features": np.zeros((0, 9), np.float32), "labels": np.zeros(0, np.int32)}, ValueError,
     "0 rows"),
    ({"mean": np.zeros(3)}, ValueError, "mean must have length 9"),
    ({"inverse_deviation": np.full(9, np.inf)}, ValueError, "infinite"),
    ({"class_weights": np.array([1, 1, 1, -1.0])}, ValueError, "the weight of class 3 is -1"),
    ({"optimizer": "rmsprop"}, ValueError, "optimizer cannot be 'rmsprop'"),
    ({"schedule": "linear"}, ValueError, "schedule cannot be 'linear'"),
    ({"learning_rate": float("nan")}, ValueError, "learning_rate is nan"),
    ({"dropout": 1.0}, ValueError, "dropout is 1"), ({"batch_size": 0}, ValueError, "batch_size"),
    ({"threads": 0}, ValueError, "threads is 0"), ({"momentum": -0.1}, ValueError, "momentum")])
def test_bad_arguments_of_the_core(change, error, part):
    head = _core.head((9, 4), 0)
    before = head.get_layers()[0][0]
    settings = {"features": np.zeros((5, 9), np.float32), "labels": np.zeros(5, np.int32)}
    settings.update(change)
    with pytest.raises(error) as caught:
        head.train(settings.pop("features"), settings.pop("labels"), **settings)
    assert part in str(caught.value)
    np.testing.assert_array_equal(head.get_layers()[0][0], before)
