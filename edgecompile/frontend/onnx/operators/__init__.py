"""One file per family of ONNX operators; `registry` imports them all."""
