"""Checks of a submitted plugin version: pure functions over a package, without database or Django models."""
