"""What every CPU target shares: kernels to C-callable functions, the plan to one C function, objects to a library."""
