"""Sweeps: algorithms, rewards, shapings and discriminators on tasks, every combination with several seeds."""
