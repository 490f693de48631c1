"""Size and start-up of an installation without extras."""
