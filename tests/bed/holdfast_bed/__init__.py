"""Builds, boots, resets and removes test nodes."""
