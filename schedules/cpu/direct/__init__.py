"""Direct convolutions and matrix products of floating-point numbers."""
