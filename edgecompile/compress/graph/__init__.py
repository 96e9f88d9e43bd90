"""Reading and changing `main` of a module."""
