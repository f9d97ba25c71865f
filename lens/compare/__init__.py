"""Scoring of vectors, runs side by side."""
