"""Which channels of a module go together, and the module without them."""
