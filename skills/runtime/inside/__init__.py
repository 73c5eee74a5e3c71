"""What runs inside the sandbox: plain scripts that import the standard library only (and numpy, ONNX Runtime)."""
