"""What variants of a model take on a target, and whether one of them ships."""
