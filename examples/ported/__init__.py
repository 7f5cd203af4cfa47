"""Well-known programs for PyTorch, written anew for this library: what changes and what does not.

python -m examples.ported.word_language_model           also --quick
python -m examples.ported.time_sequence_prediction
python -m examples.ported.char_rnn_classification
python -m examples.ported.seq2seq_translation
python -m examples.ported.makemore

Each file has a model and a training step; ``tests/peers/test_ported.py`` holds the same model in
PyTorch and asserts that both give the same losses from the same weights and batches. Their data
are made here, or ship with Python: nothing is downloaded.
"""
