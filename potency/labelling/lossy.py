"""Learning loss (Yoo 2019): a small model says for which unlabelled rows another model's loss would be large."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

Values = NDArray[np.float64]
FEWEST = 4  # labelled rows; fewer pairs say nothing
HIDDEN, STEPS, MARGIN, RATE, DECAY = 64, 200, 1.0, 1e-2, 1e-3


def expected_loss(known: Values, losses: Values, asked: Values, seed: int = 0) -> Values:
    """How large the loss of each asked row is expected to be, in the order only: the scale means nothing.

    A perceptron with one hidden layer, fitted by ranking: of two rows the one of larger loss is to score higher by
    a margin (Yoo 2019, arXiv 1905.03677, equation 2). There it reads several layers of the network and learns with it;
    here it reads the embedding, of a network that is given, so that any bundle can be asked.

    Args:
        known: (L, F) embeddings of labelled rows. losses: (L,) the model's loss on each, without units.
        asked: (N, F) embeddings of the others.

    Returns:
        (N,) scores; all equal where fewer than four losses are known or none differ.

    >>> line = np.linspace(-1, 1, 40)[:, None]
    >>> bool(np.argmax(expected_loss(line, line[:, 0] ** 2, np.array([[0.0], [0.1], [0.9]]))) == 2)
    True
    """
    if len(losses) < FEWEST or np.ptp(losses) == 0:
        return np.zeros(len(asked))
    middle, spread = known.mean(0), known.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    rows, others = (torch.from_numpy(((given - middle) / scale).astype(np.float32)) for given in (known, asked))
    truth = torch.from_numpy(losses.astype(np.float32))
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # first weights by the seed, and the global generator stays untouched
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(rows.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        order = torch.randperm(len(rows), generator=draw)
        first, second = order[: len(order) // 2], order[-(len(order) // 2) :]
        said = net(rows)[:, 0]
        sign = torch.sign(truth[first] - truth[second])
        told = sign != 0  # equal losses have no order to learn
        loss = functional.relu(MARGIN - sign * (said[first] - said[second]))[told].sum() / told.sum().clamp(min=1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.inference_mode():
        return np.asarray(net(others)[:, 0].double().numpy())
