"""Instructions of an inference on an emulated board, beside ONNX Runtime: `python -m scripts.instructions --help`."""
