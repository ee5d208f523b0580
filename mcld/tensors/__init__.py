"""Files of tensors, read without executing anything in them.

`files.py` reads and writes safetensors, and reads whatever else weights come in; `torch_files.py` reads what
`torch.save` writes, `numpy_files.py` pickled dicts of NumPy arrays. Both follow the program in a pickle
through `pickle_program.py`, each with the few words that its files need.
"""
