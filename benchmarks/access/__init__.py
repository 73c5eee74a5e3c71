"""What the ground costs: decisions, revocation, audit log, envelopes, row-level security (`make bench-access`)."""
