"""Models: registry, rollouts and serving. Stands on governance."""

import os

# Current builds of ONNX Runtime keep a device identifier and usage events in the home folder, with the address
# of a collector in the library; its Python switch comes too late. Read when the library loads, so said before.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
