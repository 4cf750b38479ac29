"""Apply a trained model.

`file_model`: `FileModel`, asked with files; `query`: a file as a model sees it; `classify`:
`probabilities`. `index`: embeddings of all clips; `vector_index`: FAISS; `search`: `Library`. `extract`
and `extract_step`: vectors of a folder of media. `distributed`: a model on a Ray cluster.
"""
