"""Inputs like those in use: read from what a user gave, checked, and read again."""
