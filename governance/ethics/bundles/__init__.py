"""Evidence bundles: everything that is known about one model version, as JSON and PDF, signed."""
