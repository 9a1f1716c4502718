"""From sequence to sequence: numbers into English words, learned from some of them."""

from __future__ import annotations

import random

import recurnn

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def words(n: int) -> str:
    """A number below a thousand in words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f" {ONES[n % 10]}" if n % 10 else "")
    return f"{ONES[n // 100]} hundred" + (f" and {words(n % 100)}" if n % 100 else "")


numbers = list(range(1000))
random.Random(0).shuffle(numbers)
x, y = [str(n) for n in numbers], [words(n) for n in numbers]

model = recurnn.Seq2Seq(
    source="characters", target="words", hidden_size=48, embedding_size=16, epochs=16,
    learning_rate=1e-2, batch_size=32,
)  # fmt: skip
model.fit(x[:800], y[:800])
print(model.summary())
for row in model.compare(x[800:], y[800:]):
    print(f"{row.model:32} " + ", ".join(f"{k} {v:.3f}" for k, v in row.scores.items()))
print(model.verdict)

for number in ("7", "42", "918"):
    print(number, "→", model.predict([number])[0])

seen = model.attend("918")
print("where it looks:", *(seen.source[k] for k in seen.weights.argmax(1)))
