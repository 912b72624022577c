"""The laboratory book: one claim a file, each with its `EXPERIMENT`."""
