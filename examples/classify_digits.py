"""Classify images as sequences of rows of pixels, and see whether a network was worth it."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import recurnn


def main() -> None:
    digits = load_digits()  # 1,797 images of 8 rows of 8 pixels: [N, T, C]
    x, x_test, y, y_test = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=0
    )
    model = recurnn.SequenceClassifier(hidden_size=32, epochs=8, learning_rate=0.01).fit(x, y)
    print(model.summary())
    for row in model.compare(x_test, y_test):
        print(f"{row.model:42} accuracy {row.scores['accuracy']:.3f}")
    print(model.verdict)
    print(model.confusion(x_test, y_test))


if __name__ == "__main__":
    main()
