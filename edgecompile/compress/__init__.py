"""Making models smaller and faster by rewrites that look at data."""

__all__: list[str] = []
