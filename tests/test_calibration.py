"""Temperature scaling: what it does to probabilities that claim too much or too little."""
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from gear_transfer import HeadClassifier
from gear_transfer.classifiers.calibration import fit_temperature


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(n, temperature, seed=0):
    """Probabilities of logits z, and labels that follow z / temperature."""
    rng = np.random.RandomState(seed)
    logits = rng.randn(n, 4) * 3
    chances = np.cumsum(softmax(logits / temperature), axis=1)
    return softmax(logits), (rng.rand(n, 1) > chances).sum(axis=1).clip(0, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_is_found(temperature):
    assert fit_temperature(*drawn(20000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_few_samples_change_little():
    probabilities, labels = np.full((8, 2), 0.5) + [0.4, -0.4], np.zeros(8, int)
    assert 0.75 < fit_temperature(probabilities, labels) < 1        # all right: likeliest is 0
    assert 1 < fit_temperature(probabilities[:1], [1]) < 1.3        # all wrong: likeliest is infinite
    assert fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1
    assert np.isfinite(fit_temperature([[1.0, 0.0]] * 5, np.ones(5, int)))


@pytest.mark.parametrize("n, temperature", [(30, 0.5), (300, 1.0), (300, 2.0)])
def test_the_minimum_is_scipys(n, temperature):
    probabilities, labels = drawn(n, temperature)
    logits = np.log(probabilities)

    def log_loss(log_temperature):
        scaled = logits / np.exp(log_temperature)
        return ((logsumexp(scaled, axis=1) - scaled[np.arange(n), labels]).sum()
                + 0.5 * (log_temperature / 0.25) ** 2)

    best = minimize_scalar(log_loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x
    assert fit_temperature(probabilities, labels) == pytest.approx(np.exp(best), rel=1e-5)


def noisy(n, seed):
    """Two classes, 30 features of which one says something."""
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 2
    X = rng.randn(n, 30)
    X[:, 0] += 1.5 * y
    return X.astype(np.float32), y


def test_the_head_is_calibrated_on_its_validation_samples():
    X, y = noisy(100, 0)
    settings = dict(l2=0.0, epochs=200, learning_rate=0.05)
    held = noisy(2000, 1)
    plain = HeadClassifier(calibrate=False, **settings).fit(X, y, validation_data=held)
    model = HeadClassifier(**settings).fit(X, y, validation_data=held)
    assert plain.temperature_ == 1 and model.temperature_ > 1.5
    assert model.history_ == plain.history_
    np.testing.assert_allclose(model.coefs_[0] * model.temperature_, plain.coefs_[0], rtol=1e-5)
    fresh, truth = noisy(2000, 2)
    np.testing.assert_array_equal(model.predict(fresh), plain.predict(fresh))

    def overconfidence(fitted):
        probabilities = fitted.predict_proba(fresh)
        return probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == truth).mean()

    assert overconfidence(plain) > 0.08 and abs(overconfidence(model)) < 0.03


def test_nothing_to_calibrate_on():
    X, y = noisy(100, 0)
    assert HeadClassifier(epochs=2, validation_fraction=0).fit(X, y).temperature_ == 1
    with pytest.raises(ValueError, match="calibrate must be True or False, not 'yes'"):
        HeadClassifier(calibrate="yes").fit(X, y)
