"""Publish events to the Digital Session Platform."""
