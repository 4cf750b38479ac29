"""From media files to wav, spectrograms, frames and faces."""
