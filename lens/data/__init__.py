"""From any source of images to batches: one table, checked, split and decoded."""
