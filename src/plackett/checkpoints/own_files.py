"""Names of the files in a checkpoint's folder."""

CONFIG = "config.json"
SENTENCE_TRANSFORMERS = "config_sentence_transformers.json"
MODULES = "modules.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"

# Plackett's own.
CARD = "README.md"
FACTS = "plackett.json"
RECIPE = "recipe.json"
CALIBRATION = "calibration.json"
CALIBRATION_PLOT = "calibration.png"
TRAINING_PLOT = "training.png"
