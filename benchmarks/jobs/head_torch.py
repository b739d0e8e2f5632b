"""Training a head in PyTorch; see head_data.py."""
import head_data

import torch

samples, width, classes, batch, epochs, threads = head_data.settings()
torch.set_num_threads(threads)
features, labels = [torch.from_numpy(each) for each in head_data.make(samples, width, classes)]
dense = torch.nn.Linear(width, classes)
optimiser = torch.optim.Adam(dense.parameters(), lr=head_data.RATE, eps=1e-7)


def fit():
    factor, mean = torch.std_mean(features, dim=0)
    factor = 1 / factor
    for _ in range(epochs):
        order = torch.randperm(samples)
        for start in range(0, samples, batch):
            rows = order[start:start + batch]
            inputs = (features[rows] - mean) * factor
            loss = torch.nn.functional.cross_entropy(dense(inputs), labels[rows])
            loss = loss + head_data.L2 * (dense.weight ** 2).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def predict():
    with torch.no_grad():
        torch.softmax(dense(features), dim=1)


head_data.report(fit, predict)
