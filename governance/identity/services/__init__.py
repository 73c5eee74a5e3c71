"""Every change of identities: sessions, second factors, rules of sign-in, identity providers."""
