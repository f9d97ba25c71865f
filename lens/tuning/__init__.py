"""Adaptive search over configuration values with Optuna."""
