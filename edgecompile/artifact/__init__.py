"""The artifact directory: written whole, checked before it is believed, run, timed and verified."""
