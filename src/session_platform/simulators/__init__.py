"""Simulators: stand-ins for the outside world, for development and tests only.

They are a program of their own (``python -m session_platform.simulators``) that speaks the real things' APIs, and ends with the
process that started it. This package decides nothing for the platform and imports nothing of it, so that a mistake in our
reading of an API cannot hide in both at once.
"""

__all__: list[str] = []
