"""Many images into an index: built, brought up to date, asked."""
