"""What the statistics of rollouts are worth, by simulation: `make bench-rollouts`."""
