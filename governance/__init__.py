"""The ground floor: tenants, zero-trust access, keys, audit and ethics approvals. Imports nothing above it."""
