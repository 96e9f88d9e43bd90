"""Attention in one pass: products, softmax and products again, block by block."""
