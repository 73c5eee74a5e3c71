"""Models: registry, rollouts and serving. Stands on governance."""
