"""Matrix products that decode compressed weights as they read them."""
