"""Choice by measurement: which way to compute a layer is fastest on the machine, and records of it."""
