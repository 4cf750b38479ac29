"""One file for each DVC stage. `python -m stages.wav` runs one; dvc.yaml says what it reads and writes."""
