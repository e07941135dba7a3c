"""Object stores: bytes under keys, which are reached by URLs such as ``s3://bucket/key``."""
