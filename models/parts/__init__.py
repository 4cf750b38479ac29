"""Modules that audio and video encoders share."""
