"""What the fake site and its tests agree on."""

from uuid import UUID

TENANT = UUID("00000000-0000-7000-8000-000000000001")
TOKEN, STRANGER, EXPIRED = "token-of-the-caller", "token-without-a-grant", "token-that-expired"
DATATYPES = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
DATATYPES += ("FP16", "FP32", "FP64", "BYTES")
BODY_S = 1.5
