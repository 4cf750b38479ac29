"""Apply a trained model.

`file_model`: `FileModel`, a model that takes files; `decode`: decode a file as a model expects it;
`classify`: class probabilities. `index`: embed all clips; `vector_index`: FAISS; `search`: `Library`.
`extract`, `extract_step` and `vectors`: embedding extraction for a folder of media. `distributed`: a model
on a Ray cluster.
"""
