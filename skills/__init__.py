"""What an assistant can do: the skill library and the sandboxed runtime. Stands on inference."""
