"""What the tensors that layers read are on calibration data."""
