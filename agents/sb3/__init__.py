"""The tasks and the generator at home in Stable-Baselines3: environments, features, policies, replay."""
