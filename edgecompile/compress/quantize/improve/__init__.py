"""What makes integers answer better than rounding to nearest does: other weights of the float model, other biases."""
