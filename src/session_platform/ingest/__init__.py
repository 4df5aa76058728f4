"""Events of backends."""
