"""Bandits: how much traffic each arm gets next, what another policy would have earned, and trying both beforehand."""
