"""Kernels over the rows of a tensor: softmax, normalizations, reductions."""
