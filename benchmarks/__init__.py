"""What QFw costs, as ratios against peers run beside it. `python -m benchmarks --help`."""
