"""Well-known PyTorch programs, ported to this library.

python -m examples.ported.word_language_model           also --quick
python -m examples.ported.time_sequence_prediction
python -m examples.ported.char_rnn_classification
python -m examples.ported.seq2seq_translation
python -m examples.ported.makemore

Each file has a model and a training step. ``tests/peers/test_ported.py`` has the same model in
PyTorch. It asserts that both give the same losses from the same weights and batches. The data are
generated, or come with Python: nothing is downloaded.
"""
