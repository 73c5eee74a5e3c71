"""Keys that never leave their provider: callers get signers, not key material."""
