"""Products of int8 numbers with sums of int32: convolutions, matrices, depthwise, and exact Winograd."""
