"""What each layer loses with fewer parameters, and how few it may have for a given loss."""
