"""Training a head in NumPy, on its BLAS; see head_data.py."""
import head_data

import numpy as np

samples, width, classes, batch, epochs, threads = head_data.settings()
features, labels = head_data.make(samples, width, classes)
kernel = np.random.RandomState(1).uniform(-0.05, 0.05, (width, classes)).astype(np.float32)
bias = np.zeros(classes, np.float32)


def softmax(logits):
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def fit():
    mean = features.mean(axis=0)
    factor = 1 / features.std(axis=0)
    moments = [[np.zeros_like(each), np.zeros_like(each)] for each in (kernel, bias)]
    step = 0
    for _ in range(epochs):
        order = np.random.permutation(samples)
        for start in range(0, samples, batch):
            rows = order[start:start + batch]
            inputs = (features[rows] - mean) * factor
            delta = softmax(inputs @ kernel + bias)
            delta[np.arange(len(rows)), labels[rows]] -= 1
            delta /= len(rows)
            gradients = (inputs.T @ delta + 2 * head_data.L2 * kernel, delta.sum(axis=0))
            step += 1
            rate = head_data.RATE * np.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
            for weights, gradient, (first, second) in zip((kernel, bias), gradients, moments):
                first += (gradient - first) * np.float32(0.1)
                second += (gradient * gradient - second) * np.float32(0.001)
                weights -= np.float32(rate) * first / (np.sqrt(second) + np.float32(1e-7))


head_data.report(fit, lambda: softmax(features @ kernel + bias))
