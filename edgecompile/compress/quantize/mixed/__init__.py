"""Mixed precision: which layers stay int8, by the user's metric and by what is measured on the target."""
