"""The targets of each example's full run. The table in README.md shows what was measured."""

TARGETS = {
    "e01_scalar_rnn": (
        "h and y as by hand; dL/du, dL/dw, dL/dv as the engine's; RNN >= 98 %, one-step MLP <= 80 %"
    ),
    "e02_parity": (
        "by hand: all strings right; tanh RNN 100 % at lengths 10 and 40, >= 99 % at 200"
    ),
    "e03_hello": "predicts e, l, l, o",
    "e04_goodbye_hello": "7 of 7 next words, each with p > 0.9; one word at a time <= 6",
    "e05_minimal_characters": (
        "held-out bits per character <= 3.0 after 20,000 steps (bigram model 3.34), <= 2.6 at"
        " the end"
    ),
    "e06_language_model": (
        "perplexity on held-out words: one layer: RNN < bigram model, LSTM < trigram model; "
        "one and two layers: LSTM < RNN; the longer the state is kept, the better; a "
        "character LSTM <= 2.1 bits"
    ),
    "e07_four_shapes": (
        "on what was not trained on: names and translations >= 95 % exact, sentiment >= 98 % "
        "and 15 points over a bag of words"
    ),
    "e08_moving_digits": (
        "direction >= 98 % from frame 4 on, which one frame cannot show; digit in the last "
        "frame >= 5 points over the CNN alone"
    ),
    "e10_vanishing": (
        "1.1^50 = 117.4 and 0.9^50 = 0.00515; all singular values 1.1 or 0.9 the same; saturation"
    ),
    "e12_adding": (
        "squared error < 0.02 (the mean 0.167): GRU, LSTM, IRNN at T = 50, 100, 200; tanh RNN"
        " > 0.1 at T = 100 after three times the LSTM's steps"
    ),
    "e13_dynamics": (
        "slope of f^n grows as 3.5^n; sink 0.184, source 0.816; gradient 0 in basins, "
        "exploding between"
    ),
    "e14_clipping": (
        "plain SGD overflows; clipped by norm, and always normalised, <= 0.5 of the variance"
    ),
    "e15_lstm_gates": (
        "Reber, four strings inside: LSTM all legal symbols, RNN's outer symbol < 80 %; "
        "brackets, four times longer than trained: LSTM >= 90 % whole strings, RNN 10 points "
        "lower"
    ),
    "e20_gru": (
        "both conventions of z are one net with z negated; both resets learn to recall over "
        "20 steps"
    ),
    "e21_bidirectional": (
        "forward alone cannot pass 75 %; both directions >= 99.5 % at the same number of units"
    ),
    "e22_acoustic_lstmp": (
        "with 46,000 parameters: LSTM and LSTMP >= 94 % of the frames of unseen speakers, an "
        "MLP >= 25 points lower; the LSTMP, of 2.75 times the cells, within 1 point of the "
        "LSTM"
    ),
    "e30_addition": (
        "three-digit sums, unseen: reversed >= 90 % exact, >= 15 points over plain, same "
        "padding side"
    ),
    "e31_dates": (
        "dates in six formats, unseen days: attention >= 99.5 % exact within 2,000 steps, >= "
        "8 points over none at equal steps"
    ),
    "e40_captioning": (
        "held-out scenes exact: soft attention >= 98 %, hard >= 97 %; with colours and kinds "
        "never seen together >= 90 %; maps on the named thing >= 70 %"
    ),
    "e41_vqa": "held-out scenes: >= 98 % right, the question alone <= 50 %",
}
