"""The same models behind other inference servers; `benchmarks.serving_peers` makes each a virtual environment."""
