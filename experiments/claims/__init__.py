"""The laboratory book: one claim per file, each with its `CLAIM`."""
