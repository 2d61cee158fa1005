"""Files in: arrays of npz, safetensors, Matrix Market and SMTX, graphs of ONNX and torch."""
