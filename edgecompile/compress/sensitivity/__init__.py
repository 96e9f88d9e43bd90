"""What each layer loses by compression, one layer at a time: for every kind of step."""
