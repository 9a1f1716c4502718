"""recurnn.nn.LSTM in the place of torch.nn.LSTM: same weights, same results, same gradients."""

from __future__ import annotations

import torch

import recurnn


def main() -> None:
    torch.manual_seed(0)
    options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64}
    theirs = torch.nn.LSTM(16, 32, **options)
    ours = recurnn.nn.LSTM(16, 32, **options)
    ours.load_state_dict(theirs.state_dict())

    x = torch.randn(50, 8, 16, dtype=torch.float64)
    results = {}
    for name, layer in (("torch", theirs), ("recurnn", ours)):
        y, (_, c) = layer(x)
        (y.square().mean() + c.square().mean()).backward()
        results[name] = [y, c, *(weight.grad for weight in layer.parameters())]

    pairs = zip(results["torch"], results["recurnn"], strict=True)
    largest = max(float((a - b).detach().abs().max()) for a, b in pairs)
    print(f"output, final state and {len(list(ours.parameters()))} gradients compared")
    print(f"largest difference below 1e-12: {largest < 1e-12}")


if __name__ == "__main__":
    main()
