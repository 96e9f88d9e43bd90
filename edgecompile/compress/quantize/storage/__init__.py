"""Weights stored in fewer bits, and computed with as float32."""
