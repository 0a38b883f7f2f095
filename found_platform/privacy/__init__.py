"""Keys that keep a user's identity out of the lake, and the one vault that leads back."""
