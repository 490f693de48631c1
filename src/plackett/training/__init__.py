"""Training: recipes, sampling of lists, and Hugging Face's Trainer with a listwise loss."""
