"""From one thing to a sequence: a digit becomes its rows of pixels, drawn from the top."""

from __future__ import annotations

from sklearn.datasets import load_digits

import recurnn

digits = load_digits()
x, y = digits.target, digits.images  # [N] classes, [N, 8 rows, 8 pixels]

model = recurnn.SequenceGenerator(hidden_size=64, components=4, epochs=15, learning_rate=5e-3)
model.fit(x[:1400], y[:1400])
print(model.summary())
for row in model.compare(x[1400:], y[1400:]):
    print(f"{row.model:28} " + ", ".join(f"{k} {v:.3f}" for k, v in row.scores.items()))
print(model.verdict)

drawn = model.predict([0, 1, 3, 7], temperature=0.3, seed=2)
for rows in zip(*drawn, strict=False):
    print("   ".join("".join(" .:*#"[min(4, max(0, int(v // 4)))] for v in row) for row in rows))
