"""Training: recipes, sampled lists, and Hugging Face's Trainer with a listwise loss."""
