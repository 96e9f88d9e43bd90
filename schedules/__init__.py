"""Kernel templates. They know instruction sets, not boards."""
