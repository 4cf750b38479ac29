"""Networks of Hugging Face `transformers`, whose classes are imported only when they are used."""
