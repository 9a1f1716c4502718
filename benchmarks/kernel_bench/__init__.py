"""What `benchmarks/kernels.py` is made of: cases, peers, agreement, timing, tables."""
