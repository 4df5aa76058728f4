"""The digital twin."""
