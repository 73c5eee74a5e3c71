"""Scripts that print every figure the documents claim."""
