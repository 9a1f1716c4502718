"""recurnn: recurrent neural networks, from the equations of a cell to an honest forecast."""

__version__ = "0.1.0"
