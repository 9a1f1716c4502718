"""What `benchmarks/layers.py` is made of: options, the ragged batch, Keras, the tables."""
