"""Builds the documentation: tables of committed figures, pictures, generated reference pages, and the site."""
