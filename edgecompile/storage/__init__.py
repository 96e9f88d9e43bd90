"""Weights in fewer bits than they are computed with: as arrays, as a Relax operator, and as loops that decode them."""
