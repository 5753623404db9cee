"""Images from disk to batches, and the builders that write folders."""
