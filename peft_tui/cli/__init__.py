"""The same services for scripts; never imports Textual."""
