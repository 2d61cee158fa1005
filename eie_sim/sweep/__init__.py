"""Many designs at once: fronts of the ones that no other beats, and search among them."""
