"""Log lines: from containers into the buffer that ships them."""
