"""Low-rank factorisation: a layer becomes several smaller ones that compute nearly the same."""
