"""Recipes: options that belong together, from papers and from what was found to work."""

from __future__ import annotations

from typing import Any

# Both papers sum the loss over the steps of a chunk and take the mean over its rows, where here
# the mean is over both: their learning rate is multiplied by the steps, their clip divided.
_ZAREMBA: dict[str, Any] = {
    "unit": "words", "vocabulary": 10_000, "cell": "lstm", "num_layers": 2, "batch_size": 20,
    "optimizer": "sgd", "schedule": "decay",
}  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    # Characters, any text.
    "char": {},
    # Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014: the small,
    # non-regularised network.
    "zaremba-small": _ZAREMBA
    | {
        "hidden_size": 200, "embedding_size": 200, "steps": 20, "start": 0.1,
        "learning_rate": 20.0, "clip": 5 / 20, "epochs": 13, "decay_after": 4, "decay": 0.5,
    },
    # The medium, regularised network of the same paper.
    "zaremba-medium": _ZAREMBA
    | {
        "hidden_size": 650, "embedding_size": 650, "steps": 35, "start": 0.05, "dropout": 0.5,
        "learning_rate": 35.0, "clip": 5 / 35, "epochs": 39, "decay_after": 6, "decay": 1 / 1.2,
    },
    # Merity, Keskar & Socher, "Regularizing and optimizing LSTM language models", 2018: AWD-LSTM
    # for the Penn Treebank. Chunks have one length here, where the paper draws it.
    "awd-lstm": {
        "unit": "words", "vocabulary": 10_000, "cell": "lstm", "hidden_size": (1150, 1150, 400),
        "embedding_size": 400, "tied": True, "variational": True, "input_dropout": 0.4,
        "dropout": 0.3, "output_dropout": 0.4, "embedding_dropout": 0.1, "weight_dropout": 0.5,
        "batch_size": 40, "steps": 70, "optimizer": "sgd", "schedule": "constant",
        "learning_rate": 30.0, "weight_decay": 1.2e-6, "clip": 0.25, "epochs": 750,
        "averaging": "non-monotonic", "activation_penalty": 2.0, "change_penalty": 1.0,
    },
}  # fmt: skip
"""By the name that the command line uses."""
