"""The bytes of protocol version 1: one file a message, made once, never made again."""
